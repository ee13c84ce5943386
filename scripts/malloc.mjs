/**
 * For the environment of a node: how glibc gives memory back. Left to itself it keeps what large
 * buffers took, hundreds of megabytes after a burst: it takes the first that is freed as a sign that
 * more will come. Buffers of 16 KiB and more go back at once: sockets are read into such, and what one
 * read gives is often just short of 64 KiB.
 */
export const MALLOC = {
  MALLOC_MMAP_THRESHOLD_: "16384",
  MALLOC_TRIM_THRESHOLD_: "131072",
  MALLOC_ARENA_MAX: "1",
};
