/** Where the platform brings a WebSocket along: browsers, and Node from 22 on. */
export const PlatformWebSocket: typeof WebSocket = globalThis.WebSocket;
