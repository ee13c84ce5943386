// Runs a scenario's attack in a process of its own and ends it after so many seconds, whatever it does:
//   attacker.mjs <scenario> <url> <seconds>
import { strangersAddress } from "./sockets.mjs";

const [name, url, seconds] = process.argv.slice(2);
const end = () => process.exit(0);
process.on("disconnect", end);
setTimeout(end, Number(seconds) * 1000);
const { attack, isStranger = false } = await import(`./scenarios/${name}.mjs`);
const { hostname, port } = new URL(url);
const localAddress = isStranger ? strangersAddress() : undefined;
await attack({ url, host: hostname, port: Number(port), localAddress });
