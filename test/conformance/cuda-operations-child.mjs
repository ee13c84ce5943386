// Compares operations in float32 on the emulated CUDA in a process whose environment its parent
// chose, past what the packages set in it; prints why that cannot be done.
import { addon } from "@proofmill/native/binding";

const [library] = process.argv.slice(2);
const cuda = { library, device: 0, memoryUtilization: 0.9 };
await addon
  .compareOperations({ dtype: "float32", threads: 1, cuda })
  .catch(({ message }) => console.log(message));
