/** The API document as a page for people: plain HTML without a script. */
import { STATUS_CODES } from "node:http";
import { curlLine } from "./curl.ts";
import { linkTo, renderFields, renderParameters } from "./fields.ts";
import { escaped, objectAnchor, operationAnchor } from "./html.ts";
import {
  type Answer,
  type Content,
  type NamedExample,
  nameOf,
  type OpenApi,
  type Operation,
  type Reference,
} from "./openapi.ts";
import { commonAnswer } from "./refused.ts";

/** The page needs nothing but its own style. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE = `
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --link: light-dark(#0550ae, #79b8ff); }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
a { color: var(--link); }
h2 { border-bottom: 1px solid var(--line); margin: 3rem 0 1rem; }
h3 { margin: 2.5rem 0 .5rem; }
h4 { margin: 1rem 0 .25rem; }
nav ul { list-style: none; padding: 0; }
nav li { padding: .2rem 0; }
nav code { font-size: .85em; opacity: .8; }
code, pre { font-family: ui-monospace, monospace; }
.method { background: var(--soft); border-radius: 4px; padding: 0 .4em; margin-right: .4em; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; min-width: 38rem; font-size: .9em; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .3em .8em .3em 0; border-bottom: 1px solid var(--line); font-weight: normal; }
thead th { font-weight: bold; }
pre { background: var(--soft); border-radius: 6px; padding: .6em; overflow-x: auto; font-size: .85em; margin: .5rem 0; }
.curl { user-select: all; }
details { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .3em 0; }
`;

/**
 * @param node the address in its curl lines, e.g. `http://127.0.0.1:8000`
 * @returns a whole HTML document; every text of the API document is escaped
 */
export function renderPage(document: OpenApi, node: string): string {
  const { title, version, description = "" } = document.info;
  const { schemas = {}, callbacks = {}, securitySchemes = {} } = document.components ?? {};
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const groupOf = ({ operation }: Placed) => operation.tags?.[0] ?? "Other";
  const groups = [...new Set(operations.map(groupOf))].map((name) => ({
    name,
    those: operations.filter((at) => groupOf(at) === name),
  }));
  const contents = groups.map(
    ({ name, those }) => `<h4>${escaped(name)}</h4><ul>${those.map(renderEntry).join("")}</ul>`,
  );
  const sections = groups.map(
    ({ name, those }) =>
      `<h2>${escaped(name)}</h2>${those.map((at) => renderOperation({ ...at, node })).join("")}`,
  );
  const access = new Map(
    groups
      .flatMap(({ those }) => those.flatMap(({ operation }) => Object.entries(operation.responses)))
      .flatMap(([status, answer]) => {
        const common = "$ref" in answer && status !== "default" && commonAnswer(answer);
        return common ? [[status, renderAnswer([status, common])] as const] : [];
      }),
  );
  const keys = Object.values(securitySchemes).map((each) => `<p>${escaped(each.description)}</p>`);
  const sent = Object.values(callbacks).flatMap((paths) => Object.entries(paths));
  const objects = Object.entries(schemas).map(
    ([name, schema]) =>
      `<h3 id="${objectAnchor(name)}">${escaped(name)}</h3>${renderFields(schema)}`,
  );
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>` +
    `<meta name="viewport" content="width=device-width"><style>${STYLE}</style></head><body><main>` +
    `<h1>${escaped(title)} ${escaped(version)}</h1><p>${escaped(description)} ` +
    `For programs: <a href="openapi.json">openapi.json</a>.</p>` +
    `<nav aria-label="Contents">${contents.join("")}` +
    `<h4>Beside these</h4><ul><li><a href="#callbacks">What the node sends</a></li>` +
    `<li><a href="#keys">Keys</a></li><li><a href="#objects">Objects</a></li></ul></nav>` +
    `${sections.join("")}` +
    `<h2 id="callbacks">What the node sends</h2>` +
    `${sent.map(([to, { post }]) => (post ? renderCallback(to, post) : "")).join("")}` +
    `<h2 id="keys">Keys</h2>${keys.join("")}${[...access.values()].join("")}` +
    `<h2 id="objects">Objects</h2>${objects.join("")}</main></body></html>\n`
  );
}

interface Placed {
  path: string;
  method: string;
  operation: Operation;
}

function renderEntry({ path, method, operation }: Placed): string {
  return (
    `<li><a href="#${operationAnchor(method, path)}">${escaped(operation.summary)}</a><br>` +
    `<code>${escaped(method.toUpperCase())} ${escaped(path)}</code></li>`
  );
}

function renderOperation(at: Placed & { node: string }): string {
  const { path, method, operation } = at;
  const { summary = "", parameters = [], requestBody, responses, security = [] } = operation;
  const scopes = security.flatMap((each) => Object.values(each).flat());
  const isFree = security.some((each) => Object.keys(each).length === 0);
  const query = parameters.length > 0 ? `<h4>Query</h4>${renderParameters(parameters)}` : "";
  return (
    `<h3 id="${operationAnchor(method, path)}">${escaped(summary)}</h3>` +
    `<p><b class="method">${escaped(method.toUpperCase())}</b><code>${escaped(path)}</code></p>` +
    (isFree ? "" : `<p>A key is needed that has the scope ${escaped(scopes.join())}.</p>`) +
    `<pre class="curl" tabindex="0">${escaped(curlLine(at))}</pre>${query}` +
    (requestBody ? `<h4>Body</h4><p>${objectsOf(requestBody.content)}</p>` : "") +
    `<h4>Answers</h4>${Object.entries(responses).map(renderAnswer).join("")}`
  );
}

function renderAnswer([status, answer]: [string, Answer | Reference]): string {
  if ("$ref" in answer) return ""; // what many have in common stands once, under Keys
  const { description, content = {} } = answer;
  const examples = Object.values(content).flatMap((each) => Object.values(each.examples ?? {}));
  return (
    `<details><summary><b>${escaped(status)} ${escaped(STATUS_CODES[status])}</b>: ` +
    `${escaped(description)}</summary><p>${objectsOf(content)}</p>` +
    `${examples.map(renderExample).join("")}</details>`
  );
}

function renderCallback(
  to: string,
  { summary, parameters = [], requestBody, responses }: Operation,
): string {
  const content = requestBody?.content ?? {};
  const examples = Object.values(content).flatMap((each) => Object.values(each.examples ?? {}));
  const answers = Object.entries(responses).map(([status, answer]) =>
    "$ref" in answer
      ? ""
      : `<li><b>${status === "default" ? "Anything else" : escaped(status)}</b>: ${escaped(answer.description)}</li>`,
  );
  return (
    `<h3>${escaped(summary)}</h3>` +
    `<p><b class="method">POST</b><code>${escaped(to.replace("$request.body#/", ""))}</code></p>` +
    `<h4>Headers</h4>${renderParameters(parameters)}` +
    `<h4>Body</h4><p>${objectsOf(content)}</p>${examples.map(renderExample).join("")}` +
    `<h4>What an answer means</h4><ul>${answers.join("")}</ul>`
  );
}

/** The objects that are sent. */
function objectsOf(content: Content): string {
  const names = Object.values(content).map(({ schema }) => schema && nameOf(schema));
  return names.map((name) => (name === undefined ? "" : linkTo(name))).join(" or ");
}

/** A list of numbers or texts stands on one line. */
function shownJson(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(/\[\n([^[\]{}]*)\n *\]/g, (_, items: string) => {
    return `[${items.trim().replaceAll(/\n */g, " ")}]`;
  });
}

function renderExample({ summary, value }: NamedExample): string {
  return (
    (summary === undefined ? "" : `<p>${escaped(summary)}:</p>`) +
    `<pre tabindex="0">${escaped(shownJson(value))}</pre>`
  );
}
