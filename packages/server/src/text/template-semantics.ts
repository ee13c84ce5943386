/**
 * What of a template's expressions means something else in Python than in the library that runs them:
 * such places are turned into calls of functions that do as Python does.
 */
import type { parse } from "@huggingface/jinja";

type Template = ReturnType<typeof parse>;

/** A node of a parsed template. */
interface Node {
  readonly type: string;
  readonly [part: string]: unknown;
}

/** No template can call them otherwise: their names are no names there. */
const NAMES = { strip: "python strip", lstrip: "python lstrip", rstrip: "python rstrip" } as const;
const EQUAL = "python equal";
/** Tests of what a value is, to which a number that is given as a text is a number. */
const TESTS = {
  string: "python is string",
  number: "python is number",
  iterable: "python is iterable",
  sequence: "python is sequence",
} as const;

/**
 * What rewritten templates have to be told.
 *
 * @param isNumber whether a text stands for a number
 */
export function pythonFunctions(
  isNumber: (text: string) => boolean,
): Record<string, (...given: unknown[]) => unknown> {
  const isText = (value: unknown) => typeof value === "string" && !isNumber(value);
  return {
    [NAMES.strip]: (text, characters) => strip(text, characters, { begin: true, end: true }),
    [NAMES.lstrip]: (text, characters) => strip(text, characters, { begin: true, end: false }),
    [NAMES.rstrip]: (text, characters) => strip(text, characters, { begin: false, end: true }),
    [EQUAL]: isEqual,
    [TESTS.string]: isText,
    [TESTS.number]: (value) =>
      typeof value === "number" || (typeof value === "string" && isNumber(value)),
    [TESTS.iterable]: (value) => Array.isArray(value) || isText(value),
    [TESTS.sequence]: (value) => Array.isArray(value) || value instanceof Map || isText(value),
  };
}

/** Changes the template in place. */
export function withPythonSemantics(template: Template): Template {
  // Without recursion: it may nest as deeply as its parser took it.
  const waiting: unknown[] = [template];
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (value instanceof Map) waiting.push(...value.keys(), ...value.values());
    else if (typeof value === "object" && value !== null) {
      if (isNode(value)) rewrite(value);
      waiting.push(...Object.values(value).filter((part) => part !== undefined));
    }
  }
  return template;
}

function rewrite(node: Node): void {
  if (node.type === "CallExpression") {
    const callee = node.callee as Node;
    const name = callee.type === "MemberExpression" && !callee.computed && nameOf(callee.property);
    if (name && Object.hasOwn(NAMES, name)) {
      const args = [callee.object, ...(node.args as Node[])];
      become(node, call(NAMES[name as keyof typeof NAMES], args));
    }
  } else if (node.type === "FilterExpression") {
    const filter = node.filter as Node;
    const hasArguments = filter.type === "CallExpression";
    if (nameOf(hasArguments ? filter.callee : filter) === "trim") {
      const args = hasArguments ? (filter.args as Node[]) : [];
      become(node, call(NAMES.strip, [node.operand, ...args]));
    }
  } else if (node.type === "BinaryExpression") {
    const { value: operator } = node.operator as { value: unknown };
    if (operator !== "==" && operator !== "!=") return;
    const equal = call(EQUAL, [node.left, node.right]);
    become(node, operator === "==" ? equal : not(equal));
  } else if (node.type === "TestExpression") {
    const name = nameOf(node.test);
    if (!name || !Object.hasOwn(TESTS, name)) return;
    const answer = call(TESTS[name as keyof typeof TESTS], [node.operand]);
    become(node, node.negate ? not(answer) : answer);
  }
}

function isNode(value: object): value is Node {
  return "type" in value && typeof value.type === "string";
}

function nameOf(node: unknown): string | undefined {
  const { type, value } = node as Node;
  return type === "Identifier" ? (value as string) : undefined;
}

function call(name: string, args: unknown[]): Node {
  return { type: "CallExpression", callee: { type: "Identifier", value: name }, args };
}

function not(argument: Node): Node {
  return { type: "UnaryExpression", operator: { value: "not" }, argument };
}

function become(node: Node, other: Node): void {
  for (const part of Object.keys(node)) Reflect.deleteProperty(node, part);
  Object.assign(node, other);
}

/** What Python takes for white space: not quite what JavaScript does. */
function isSpace(character: string): boolean {
  const code = character.charCodeAt(0);
  return (
    (code >= 0x1c && code <= 0x1f) || code === 0x85 || (/\s/.test(character) && code !== 0xfeff)
  );
}

/** @param characters which are taken off the ends; none: white space */
function strip(text: unknown, characters: unknown, at: { begin: boolean; end: boolean }): string {
  if (typeof text !== "string") throw new Error("strip() takes text alone");
  const set = typeof characters === "string" ? new Set(characters) : null;
  const isTakenOff = (each: string) => (set ? set.has(each) : isSpace(each));
  let [begin, end] = [0, text.length];
  while (at.begin && begin < end) {
    const first = String.fromCodePoint(text.codePointAt(begin) ?? 0);
    if (!isTakenOff(first)) break;
    begin += first.length;
  }
  while (at.end && begin < end) {
    const pair = end - 2 >= begin ? (text.codePointAt(end - 2) ?? 0) : 0;
    const last = pair > 0xffff ? String.fromCodePoint(pair) : (text[end - 1] ?? "");
    if (!isTakenOff(last)) break;
    end -= last.length;
  }
  return text.slice(begin, end);
}

/** Values as the library gives them: those in lists and objects (which are maps) in objects of its own. */
function isEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((each, i) => isEqual(each.value, b[i].value));
  }
  if (a instanceof Map && b instanceof Map) {
    const isThere = ([key, { value }]: [unknown, { value: unknown }]) =>
      b.has(key) && isEqual(value, b.get(key).value);
    return a.size === b.size && [...a].every(isThere);
  }
  // As in Python, where true is 1.
  const plain = (value: unknown) => (typeof value === "boolean" ? Number(value) : value);
  return plain(a) === plain(b);
}
