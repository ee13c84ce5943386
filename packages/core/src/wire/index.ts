/** What goes over the wire, and every operation. Free of Node: a browser bundles it. */
export { isRefusedAddress } from "./address.ts";
export * from "./artifact-schemas.ts";
export {
  CheckedBody,
  type CheckOutcome,
  checkBody,
  fieldsOf,
  isArtifactRound,
  outcomeOf,
} from "./body.ts";
export * from "./broker-operations.ts";
export * from "./errors.ts";
export { isNamedHost } from "./fields.ts";
export { invalidJson, parseWith } from "./issues.ts";
export { jsonSchemas } from "./json-schemas.ts";
export * from "./mlnode-schemas.ts";
export * from "./operation.ts";
export * from "./operations.ts";
export { parseQuery } from "./query.ts";
export * from "./schemas.ts";
export * from "./scopes.ts";
