/** The nodes that the page looks at: its own, and those whose addresses its reader has added. */
import { computed, signal } from "@preact/signals";
import { KEEPS, keep, recall } from "../storage.ts";
import { FollowedNode } from "./followed-node.ts";

const ADDRESSES = "proofmill-nodes";
const MOST_NODES = 64;

export class Nodes {
  readonly all = signal<readonly FollowedNode[]>([]);
  readonly #chosen = signal(0);
  /** The one that all of the page is about. */
  readonly chosen = computed(() => this.all.value[this.#chosen.value] ?? this.own);
  readonly own: FollowedNode;

  /** @param own address of the node that has served the page */
  constructor(own: string) {
    this.own = new FollowedNode(own);
    const others = kept().filter((url) => url !== own);
    this.all.value = [this.own, ...others.map((url) => new FollowedNode(url))];
    this.#show(this.#named);
    addEventListener("hashchange", () => this.#show(this.#named));
    addEventListener("storage", ({ key }) => {
      if (key === ADDRESSES) this.#takeOver();
    });
  }

  /** The page's address names it then, so that the browser's back button and a reload lead to it. */
  choose(node: FollowedNode): void {
    this.#show(node);
    location.hash = node === this.own ? "" : node.url;
  }

  /** @returns why it cannot be added; null: it is */
  add(address: string): string | null {
    const url = baseOf(address);
    if (url === null) return "Expected an address like http://10.0.0.7:8000";
    const all = this.all.value;
    if (all.some((node) => node.url === url)) return "This node is there already";
    if (all.length >= MOST_NODES) return `There are ${MOST_NODES} nodes already`;
    this.all.value = [...all, new FollowedNode(url)];
    this.#keep();
    return null;
  }

  /** Any but the page's own. */
  remove(node: FollowedNode): void {
    if (node === this.own) return;
    const { value: chosen } = this.chosen;
    node.leave();
    this.all.value = this.all.value.filter((each) => each !== node);
    this.choose(chosen === node ? this.own : chosen);
    this.#keep();
  }

  get #named(): FollowedNode {
    const name = location.hash.slice(1);
    return this.all.value.find(({ url }) => url === name) ?? this.own;
  }

  #show(node: FollowedNode): void {
    const place = this.all.value.indexOf(node);
    if (place === -1) return;
    this.#chosen.value = place;
    for (const each of this.all.value) each.follow({ isDetailed: each === node });
  }

  /** Another tab has added a node, or removed one. */
  #takeOver(): void {
    const { value: chosen } = this.chosen;
    const urls = kept().filter((url) => url !== this.own.url);
    const known = new Map(this.all.value.map((node) => [node.url, node]));
    const others = urls.map((url) => known.get(url) ?? new FollowedNode(url));
    const all = [this.own, ...others];
    for (const node of known.values()) if (!all.includes(node)) node.leave();
    this.all.value = all;
    this.#show(all.includes(chosen) ? chosen : this.own);
  }

  #keep(): void {
    const others = this.all.value.filter((node) => node !== this.own).map(({ url }) => url);
    keep(KEEPS.addresses, ADDRESSES, JSON.stringify(others));
  }
}

/** A node's base address; null for what is none. */
function baseOf(address: string): string | null {
  const text = /^[a-z]+:\/\//i.test(address.trim()) ? address.trim() : `http://${address.trim()}`;
  if (!/^https?:/i.test(text) || !URL.canParse(text)) return null;
  const { origin, pathname, username, password } = new URL(text);
  if (username !== "" || password !== "") return null;
  return `${origin}${pathname.replace(/\/+$/, "")}`;
}

/** Whatever stands there, addresses of nodes come out. */
function kept(): string[] {
  try {
    const list: unknown = JSON.parse(recall(KEEPS.addresses, ADDRESSES) ?? "[]");
    if (!Array.isArray(list)) return [];
    const urls = list.map((each) => (typeof each === "string" ? baseOf(each) : null));
    return [...new Set(urls.filter((url) => url !== null))].slice(0, MOST_NODES - 1);
  } catch {
    return [];
  }
}
