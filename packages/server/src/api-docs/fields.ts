/** A schema's fields as rows of a table, for people. */
import { escaped, objectAnchor } from "./html.ts";
import { type JsonSchema, nameOf, type Parameter } from "./openapi.ts";

/** The table of an object's fields; what an object without fields may be, as a line. */
export function renderFields(schema: JsonSchema): string {
  const rows = fieldRows(schema, "");
  return rows.length > 0 ? table(rows) : `<p>${typeOf(schema)}</p>`;
}

export function renderParameters(parameters: readonly Parameter[]): string {
  return table(
    parameters.map(({ name, required = false, schema, description }) =>
      row({
        name,
        isRequired: required,
        schema: description ? { ...schema, description } : schema,
      }),
    ),
  );
}

/** A row for each field, those of inner objects without a name of their own behind a point. */
function fieldRows(schema: JsonSchema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const isRequired = schema.required?.includes(name) ?? false;
    const inner = field.properties ? field : (field.items ?? {});
    const separator = field.properties ? "." : "[].";
    return [
      row({ name: `${prefix}${name}`, isRequired, schema: field }),
      ...fieldRows(inner, `${prefix}${name}${separator}`),
    ];
  });
}

function row(field: { name: string; isRequired: boolean; schema: JsonSchema }): string {
  const { name, isRequired, schema } = field;
  const notes = [
    schema.deprecated ? "Deprecated." : "",
    schema.description ?? "",
    schema.default === undefined ? "" : `Default: ${JSON.stringify(schema.default)}.`,
  ];
  return (
    `<tr><th scope="row"><code>${escaped(name)}</code></th><td>${typeOf(schema)}</td>` +
    `<td>${isRequired ? "always" : "optional"}</td>` +
    `<td>${escaped(notes.filter(Boolean).join(" "))}</td></tr>`
  );
}

/** It scrolls by itself where the screen is narrow; by keys too, so it can be reached by them. */
function table(rows: readonly string[]): string {
  return (
    '<div class="wide" tabindex="0" role="group" aria-label="Fields"><table><thead><tr>' +
    '<th scope="col">Field</th><th scope="col">Type</th><th scope="col">Present</th>' +
    `<th scope="col">Meaning</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`
  );
}

/** E.g. `integer ≥ 0`, `"IDLE" or "STOPPED"`, `list of number`; objects with names are links. */
function typeOf(schema: JsonSchema): string {
  const name = nameOf(schema);
  if (name !== undefined) return linkTo(name);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return escaped(schema.enum.map((value) => JSON.stringify(value)).join(" or "));
  if (schema.const !== undefined) return escaped(JSON.stringify(schema.const));
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items) : "anything"}`;
  return escaped(`${[schema.type ?? "anything"].flat().join(" or ")}${range(schema)}`);
}

export function linkTo(name: string): string {
  return `<a href="#${objectAnchor(name)}">${escaped(name)}</a>`;
}

function range({ minimum, maximum, minLength, maxLength }: JsonSchema): string {
  // The bounds of a safe integer are no news.
  const least = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? ` ≥ ${minimum}` : "";
  const most = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? ` ≤ ${maximum}` : "";
  const length = maxLength === undefined ? "" : ` of ${minLength ?? 0} to ${maxLength} characters`;
  return `${least}${least && most ? "," : ""}${most}${length}`;
}
