/** The parts of OpenAPI 3.1 that we write and read. */

export interface OpenApi {
  openapi: string;
  info: { title: string; version: string; description?: string; license?: object };
  servers?: object[];
  paths?: Record<string, PathItem>;
  components?: {
    schemas?: Record<string, JsonSchema>;
    responses?: Record<string, Answer>;
    callbacks?: Record<string, Record<string, PathItem>>;
    securitySchemes?: Record<string, { description?: string; [field: string]: unknown }>;
  };
}

/** By method. */
export type PathItem = Record<string, Operation>;

export interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: Parameter[];
  requestBody?: { content: Content; required?: boolean };
  responses: Record<string, Answer | Reference>;
  callbacks?: Record<string, Reference>;
  /** One of these is enough; an empty one: nothing is needed. */
  security?: Record<string, string[]>[];
}

export interface Reference {
  $ref: string;
}

export interface Answer {
  description: string;
  content?: Content;
}

export interface Parameter {
  name: string;
  in: string;
  description?: string;
  required?: boolean;
  schema: JsonSchema;
  example?: string;
}

export type Content = Record<
  string,
  { schema?: JsonSchema; examples?: Record<string, NamedExample> }
>;

export interface NamedExample {
  summary?: string;
  value: unknown;
}

export interface JsonSchema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  deprecated?: boolean;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  anyOf?: JsonSchema[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
}

/** Where objects stand. */
export const SCHEMAS = "#/components/schemas/";

/** What a `$ref` to the object of that name says. */
export const schemaAddress = (name: string): string => `${SCHEMAS}${name}`;

/** The name of the object that is referred to; undefined where none is. */
export const nameOf = ({ $ref }: JsonSchema): string | undefined =>
  $ref?.startsWith(SCHEMAS) ? $ref.slice(SCHEMAS.length) : undefined;
