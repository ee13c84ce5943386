/** Puts a text where the reader can paste it from. */

/** @returns whether the browser let it */
export async function copy(text: string): Promise<boolean> {
  try {
    // Browsers offer it to pages that came encrypted, or from this machine.
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // perhaps it lets the older way
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}
