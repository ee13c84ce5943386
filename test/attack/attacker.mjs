// Runs a scenario's attack in a process of its own and ends it after so many seconds, whatever it does:
//   attacker.mjs <scenario> <url> <seconds>
const [name, url, seconds] = process.argv.slice(2);
const end = () => process.exit(0);
process.on("disconnect", end);
setTimeout(end, Number(seconds) * 1000);
const { attack } = await import(`./scenarios/${name}.mjs`);
const { hostname, port } = new URL(url);
await attack({ url, host: hostname, port: Number(port) });
