/** Reads the project's sources, and which file imports what. */
import { readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { basename, dirname, extname, join, posix } from "node:path";
import { parseAst } from "vitest/node";

/** Files by their paths from the project's root: text of sources and of manifests. */
export type Sources = ReadonlyMap<string, string>;

export interface Import {
  /** A source file. */
  readonly from: string;
  /** Another, or a module that is not ours: `zod`, `node:fs`, `<napi.h>`. */
  readonly to: string;
}

const PLACES = ["packages", "scripts", "test", "examples"];
/** What is built, installed or generated. */
const PASSED_OVER = ["node_modules", "dist", "build"];
const SCRIPT = [".ts", ".mts", ".tsx", ".mjs"];
const CPP = [".h", ".cc", ".cu", ".cuh"];
/** Where an `#include "…"` is looked for, besides the file's own folder. */
const INCLUDE_FOLDERS = ["packages/native/src", "packages/native/test/cuda_emulated"];

export function readSources(root: string): Sources {
  const sources = new Map<string, string>();
  const visit = (folder: string) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = posix.join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!PASSED_OVER.includes(entry.name)) visit(path);
      } else if (isSource(path) || entry.name === "package.json") {
        sources.set(path, readFileSync(join(root, path), "utf8"));
      }
    }
  };
  for (const place of PLACES) visit(place);
  return sources;
}

/** Whether a path is one of code, and no manifest. */
export function isSource(path: string): boolean {
  return [...SCRIPT, ...CPP].includes(extname(path));
}

/**
 * Every import of every source: also those of types alone, and `import()` and `require` of a name
 * that is written out. A thread or a process that is started from a file is not imported by it.
 *
 * @throws Error for an import of a file that is not there
 */
export function importsOf(sources: Sources): Import[] {
  const find = packageResolver(sources);
  return [...sources].flatMap(([from, text]) => {
    if (CPP.includes(extname(from))) {
      return includesIn(text).map((name) => ({ from, to: included(sources, from, name) }));
    }
    if (!SCRIPT.includes(extname(from))) return [];
    return specifiersIn(from, text).flatMap((specifier) =>
      (specifier.startsWith(".")
        ? [relative(sources, from, specifier)]
        : find(from, specifier)
      ).map((to) => ({ from, to })),
    );
  });
}

/** The strings of a TypeScript or JavaScript file; some of them are paths. */
export function stringsIn(path: string, text: string): string[] {
  const strings: string[] = [];
  visitNodes(parse(path, text), (node) => {
    if (node.type === "Literal" && typeof node.value === "string") strings.push(node.value);
    if (node.type === "TemplateElement") strings.push((node.value as { raw: string }).raw);
  });
  return strings;
}

interface Node {
  readonly type: string;
  readonly [key: string]: unknown;
}

function specifiersIn(path: string, text: string): string[] {
  const found: unknown[] = [];
  visitNodes(parse(path, text), (node) => {
    switch (node.type) {
      case "ImportDeclaration":
      case "ExportNamedDeclaration":
      case "ExportAllDeclaration":
      case "ImportExpression":
      case "TSImportType":
        found.push(node.source);
        break;
      case "CallExpression":
        if (isRequire(node.callee as Node)) found.push((node.arguments as unknown[])[0]);
    }
  });
  return found.flatMap((source) => {
    const value = (source as { value?: unknown } | null)?.value;
    return typeof value === "string" ? [value] : [];
  });
}

/** `require` or `createRequire(…)`. */
function isRequire(callee: Node): boolean {
  if (callee.type === "CallExpression") {
    return (callee.callee as { name?: unknown }).name === "createRequire";
  }
  return callee.name === "require";
}

function parse(path: string, text: string): object {
  const lang = /\.d\.m?ts$/.test(path) ? "dts" : path.endsWith(".tsx") ? "tsx" : "ts";
  return parseAst(text, { lang });
}

function visitNodes(value: unknown, visit: (node: Node) => void): void {
  if (typeof value !== "object" || value === null) return;
  if ("type" in value && typeof value.type === "string") visit(value as Node);
  for (const child of Object.values(value)) visitNodes(child, visit);
}

/** What is included, in quotes or `<…>`; headers of the language itself have no ending. */
function includesIn(text: string): string[] {
  return [...text.matchAll(/^\s*#\s*include\s+("[^"]+"|<[^>]+\.[^>]+>)/gm)].map(
    ([, name = ""]) => name,
  );
}

function included(sources: Sources, from: string, name: string): string {
  if (name.startsWith("<")) return name;
  const path = name.slice(1, -1);
  const found = [dirname(from), ...INCLUDE_FOLDERS]
    .map((folder) => posix.join(folder, path))
    .find((each) => sources.has(each));
  return found ?? refuse(from, path);
}

/** A source of the project, also where what is built from it is named. */
function relative(sources: Sources, from: string, specifier: string): string {
  const path = posix.join(dirname(from), specifier);
  if (!isSource(path) && extname(path) !== ".js") return path; // data, or the addon
  return source(sources, path) ?? refuse(from, specifier);
}

function source(sources: Sources, path: string): string | undefined {
  return ["src", "lib"]
    .map((folder) => path.replace("/dist/", `/${folder}/`).replace(/\.d\.ts$|\.js$/, ".ts"))
    .concat(path)
    .find((each) => sources.has(each));
}

function refuse(from: string, specifier: string): never {
  throw new Error(`${from} imports ${specifier}, which is not there`);
}

interface Manifest {
  name?: string;
  /** A path's files by the conditions under which they are taken. */
  exports?: Record<string, Conditions>;
  imports?: Record<string, Conditions>;
}

type Conditions = string | { readonly [condition: string]: Conditions };

/** Finds what a name that is no path stands for: our packages' files by their manifests. */
function packageResolver(sources: Sources): (from: string, specifier: string) => string[] {
  const packages = [...sources]
    .filter(([path]) => basename(path) === "package.json")
    .map(([path, text]) => ({ folder: dirname(path), manifest: JSON.parse(text) as Manifest }));

  return (from, specifier) => {
    if (builtinModules.includes(specifier.replace("node:", ""))) {
      return [`node:${specifier.replace("node:", "")}`];
    }
    const own = specifier.startsWith("#");
    const owner = packages.find(({ folder, manifest }) =>
      own ? from.startsWith(`${folder}/`) : isOf(manifest.name, specifier),
    );
    if (!owner) return [packageName(specifier)];
    const { exports = {}, imports = {}, name = "" } = owner.manifest;
    const table = own ? imports : exports;
    const path = own ? specifier : `.${specifier.slice(name.length)}`;
    for (const [key, conditions] of Object.entries(table)) {
      const star = starOf(key, path);
      if (star === null) continue;
      const files = targetsOf(conditions).flatMap(
        (target) => source(sources, posix.join(owner.folder, target.replace("*", star))) ?? [],
      );
      return files.length > 0 ? [...new Set(files)] : refuse(from, specifier);
    }
    return refuse(from, specifier);
  };
}

function targetsOf(conditions: Conditions): string[] {
  return typeof conditions === "string"
    ? [conditions]
    : Object.values(conditions).flatMap(targetsOf);
}

function isOf(name: string | undefined, specifier: string): boolean {
  return name !== undefined && (specifier === name || specifier.startsWith(`${name}/`));
}

/** `@scope/name/path` → `@scope/name`. */
function packageName(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** What `*` stands for when `key` is `path`; null when it is not. */
function starOf(key: string, path: string): string | null {
  const [before = "", after] = key.split("*");
  if (after === undefined) return key === path ? "" : null;
  const matches = path.startsWith(before) && path.endsWith(after);
  return matches ? path.slice(before.length, path.length - after.length) : null;
}
