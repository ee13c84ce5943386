export const CONTEXT: number;
export function writeWideModel(directory: string): Promise<void>;
