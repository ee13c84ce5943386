/** Why an address cannot be listened on, and what to do, in plain words. */
export function listenFault({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use; choose another with --port";
    case "EACCES":
      return "not permitted; ports below 1024 need a privilege, choose another with --port";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "this machine has no such address; choose another with --host";
    default:
      return message;
  }
}
