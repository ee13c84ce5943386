/** What calls an operation from a shell. */
import type { Operation } from "./openapi.ts";

/** @param node the node's address, e.g. `http://127.0.0.1:8000` */
export function curlLine(at: {
  node: string;
  method: string;
  path: string;
  operation: Operation;
}): string {
  const { node, method, path, operation } = at;
  const { requestBody, security = [], parameters = [] } = operation;
  const filled = path.replace(/\{(\w+)\}/g, (place, wanted: string) => {
    const example = parameters.find(({ name }) => name === wanted)?.example;
    return example === undefined ? place : example.split("/").map(encodeURIComponent).join("/");
  });
  const [body] = Object.values(requestBody?.content["application/json"]?.examples ?? {});
  const needsKey = security.length > 0 && security.every((each) => Object.keys(each).length > 0);
  const isPlain = method === (body ? "post" : "get"); // what curl does by itself
  return [
    `curl ${isPlain ? "" : `-X ${method.toUpperCase()} `}${quoted(`${node}${filled}`)}`,
    ...(needsKey ? ['-H "Authorization: Bearer $PROOFMILL_API_KEY"'] : []),
    ...(body
      ? ["-H 'content-type: application/json'", `-d ${quoted(JSON.stringify(body.value))}`]
      : []),
  ].join(" \\\n  ");
}

/** As one word of a shell, whatever is in it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
