/** The protocol and the round: everything of a node that needs no socket, file or model. */
export { isRefusedAddress } from "./address.ts";
export * from "./errors.ts";
export * from "./runner.ts";
export * from "./schemas.ts";
export * from "./service.ts";
export * from "./store.ts";
