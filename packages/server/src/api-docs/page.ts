/** The API document as a page for people: plain HTML without a script, made where it is asked for. */
import type { Content, JsonSchema, OpenApi, Operation, Parameter } from "./document.ts";

/** The page needs nothing but its own style. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; }
h3 code { font-size: 1.1em; }
h3 b { background: var(--soft); border-radius: 4px; padding: 0 .4em; margin-right: .4em; }
table { border-collapse: collapse; width: 100%; font-size: .9em; }
th, td { text-align: left; vertical-align: top; padding: .25em .6em .25em 0; border-bottom: 1px solid var(--line); }
pre { background: var(--soft); border-radius: 6px; padding: .6em; overflow-x: auto; font-size: .85em; }
summary { cursor: pointer; padding: .2em 0; }
`;

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (text: unknown) => String(text).replace(/[&<>"]/g, (c) => escapes[c] ?? c);

/** @returns a whole HTML document; every text of the API document is escaped */
export function renderPage(document: OpenApi): string {
  const { title, version, description = "" } = document.info;
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const tags = [...new Set(operations.map(({ operation }) => operation.tags?.[0] ?? "Other"))];
  const sections = tags.map((tag) => {
    const those = operations.filter(({ operation }) => (operation.tags?.[0] ?? "Other") === tag);
    return `<h2>${escaped(tag)}</h2>${those.map(renderOperation).join("")}`;
  });
  const contents = operations.map(
    ({ path, method, operation }) =>
      `<li><a href="#${anchor(method, path)}"><code>${method.toUpperCase()} ${escaped(path)}</code></a> ` +
      `${escaped(operation.summary ?? "")}</li>`,
  );
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>` +
    `<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body>` +
    `<h1>${escaped(title)} ${escaped(version)}</h1><p>${escaped(description)} ` +
    `For programs: <a href="openapi.json">openapi.json</a>.</p><ul>${contents.join("")}</ul>` +
    `${sections.join("")}</body></html>\n`
  );
}

function renderOperation(at: { path: string; method: string; operation: Operation }): string {
  const { path, method, operation } = at;
  const { summary = "", description = "", parameters = [], requestBody, responses } = operation;
  const body = requestBody ? `<h4>Body</h4>${renderContent(requestBody.content, true)}` : "";
  const answers = Object.entries(responses).map(
    ([status, response]) =>
      `<details><summary><b>${escaped(status)}</b> ${escaped(response.description)}</summary>` +
      // Refusals all have the same fields.
      `${renderContent(response.content ?? {}, status.startsWith("2"))}</details>`,
  );
  return (
    `<h3 id="${anchor(method, path)}"><b>${method.toUpperCase()}</b><code>${escaped(path)}</code></h3>` +
    `<p>${escaped(summary)}${summary ? "." : ""} ${escaped(description)}</p>` +
    `${renderParameters(parameters)}${body}<h4>Answers</h4>${answers.join("")}`
  );
}

function renderParameters(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return "";
  const rows = parameters.map(({ name, required = false, schema, description }) =>
    row({ name, isRequired: required, schema: description ? { ...schema, description } : schema }),
  );
  return `<h4>Query</h4>${table(rows)}`;
}

function renderContent(content: Content, withFields: boolean): string {
  return Object.entries(content)
    .map(([type, { schema, examples = {} }]) => {
      const fields = withFields && schema ? fieldRows(schema, "") : [];
      const shown = Object.values(examples).map(
        ({ summary = "", value }) =>
          `<p>${escaped(summary)}</p><pre>${escaped(JSON.stringify(value, null, 2))}</pre>`,
      );
      const heading = type === "application/json" ? "" : `<p><code>${escaped(type)}</code></p>`;
      return `${heading}${fields.length > 0 ? table(fields) : ""}${shown.join("")}`;
    })
    .join("");
}

/** A row for each field, those of inner objects behind a point. */
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
    `<tr><td><code>${escaped(name)}</code></td><td>${escaped(typeOf(schema))}</td>` +
    `<td>${isRequired ? "required" : ""}</td><td>${escaped(notes.filter(Boolean).join(" "))}</td></tr>`
  );
}

function table(rows: readonly string[]): string {
  return (
    "<table><thead><tr><th>Field</th><th>Type</th><th></th><th></th></tr></thead>" +
    `<tbody>${rows.join("")}</tbody></table>`
  );
}

/** E.g. `integer ≥ 0`, `"IDLE" or "STOPPED"`, `list of number`. */
function typeOf(schema: JsonSchema): string {
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return `list of ${schema.items ? typeOf(schema.items) : "anything"}`;
  const type = [schema.type ?? "anything"].flat().join(" or ");
  return `${type}${range(schema)}`;
}

function range({ minimum, maximum, minLength, maxLength }: JsonSchema): string {
  // The bounds of a safe integer are no news.
  const least = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? ` ≥ ${minimum}` : "";
  const most = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? ` ≤ ${maximum}` : "";
  const length = maxLength === undefined ? "" : ` of ${minLength ?? 0} to ${maxLength} characters`;
  return `${least}${least && most ? "," : ""}${most}${length}`;
}

function anchor(method: string, path: string): string {
  return `${method}${path.replaceAll(/[^a-z0-9]+/gi, "-")}`;
}
