import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** What each platform calls the things that the addon is built with. */
const INSTALL = [
  { tool: "brew", command: "xcode-select --install; brew install cmake" },
  { tool: "apt-get", command: "sudo apt-get install -y cmake build-essential" },
  { tool: "dnf", command: "sudo dnf install -y cmake gcc-c++ make" },
  { tool: "apk", command: "sudo apk add cmake g++ make" },
  { tool: "pacman", command: "sudo pacman -S --needed cmake base-devel" },
];

/**
 * What is missing to build the addon, in one line with the command that installs it; null when
 * nothing is. It only looks at PATH: this runs before every start.
 */
export function missingTools(environment = process.env) {
  const has = (name) => isOnPath(name, environment.PATH ?? "");
  // CXX may hold arguments or a wrapper, as in `ccache g++`.
  const compilers = [environment.CXX?.trim().split(/\s+/)[0], "g++", "clang++", "c++"];
  const missing = [
    has("cmake") ? null : "cmake",
    compilers.some((name) => name && has(name)) ? null : "a C++ compiler (g++ or clang++)",
    has("make") || has("ninja") ? null : "make (or ninja)",
  ].filter((name) => name !== null);
  if (missing.length === 0) return null;
  const install = INSTALL.find(({ tool }) => has(tool));
  const how = install
    ? `install with: ${install.command}`
    : "install what is missing and try again";
  return `${missing.join(" and ")} not found; ${how}`;
}

function isOnPath(name, path) {
  // A name with a slash is looked up as it stands, as a shell does.
  const candidates = name.includes("/") ? [name] : path.split(delimiter).map((d) => join(d, name));
  return candidates.some((file) => {
    try {
      accessSync(process.platform === "win32" ? `${file}.exe` : file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
