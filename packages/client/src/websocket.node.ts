/** Node 20 has no WebSocket of its own. */
import { WebSocket as NodeWebSocket } from "ws";

export const PlatformWebSocket = NodeWebSocket as unknown as typeof WebSocket;
