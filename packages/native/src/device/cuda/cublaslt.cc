#include "cublaslt.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "device/error.h"

namespace proofmill::cublaslt {

namespace {

constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

void add_matches(const std::string& pattern, std::vector<std::string>& files) {
  glob_t found{};
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (size_t i = found.gl_pathc; i > 0; i--) files.emplace_back(found.gl_pathv[i - 1]);
  }
  globfree(&found);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// In the order in which they are tried; a name without a slash goes to the loader.
std::vector<std::string> candidates() {
  const std::string forced = environment("PROOFMILL_CUBLASLT");
  if (!forced.empty()) return {forced};
  std::vector<std::string> files;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    const std::string home = environment(name);
    if (home.empty()) continue;
    for (const char* library : kNames) files.push_back(home + "/lib64/" + library);
  }
  for (const char* library : kNames) files.emplace_back(library);
  for (const char* library : kNames) {
    add_matches(std::string("/usr/local/cuda*/lib64/") + library, files);
    add_matches(std::string("/usr/local/cuda*/targets/*/lib/") + library, files);
    add_matches(std::string("/usr/lib/*-linux-gnu/") + library, files);
  }
  // Python wheels, version 13 and 12: of the virtual environment at hand, of the user, of the
  // system, and of what lies in /opt.
  const std::string roots[] = {environment("VIRTUAL_ENV"),
                               environment("CONDA_PREFIX"),
                               environment("HOME") + "/.local",
                               "/usr/local",
                               "/usr",
                               "/opt/*",
                               "/opt/*/.venv"};
  for (const std::string& root : roots) {
    if (root.empty()) continue;
    for (const char* packages : {"/lib/python3*/site-packages", "/lib/python3*/dist-packages",
                                 "/lib/python3/dist-packages"}) {
      for (const char* folder : {"/nvidia/cu13/lib/", "/nvidia/cublas/lib/"}) {
        add_matches(root + packages + folder + "libcublasLt.so.1[23]", files);
      }
    }
  }
  return files;
}

void* open_library() {
  std::string tried;
  for (const std::string& file : candidates()) {
    if (void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    const char* reason = dlerror();
    tried += "; " + std::string(reason ? reason : file.c_str());
  }
  fail(
      "cuBLASLt (libcublasLt.so.13 or .12) cannot be opened: install it, or name the file in "
      "PROOFMILL_CUBLASLT%s",
      tried.c_str());
}

Functions resolve() {
  void* library = open_library();
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    if (!function) fail("cuBLASLt lacks %s: %s", name, dlerror());
  };
  Functions f{};
  find(f.get_version, "cublasLtGetVersion");
  find(f.create, "cublasLtCreate");
  find(f.destroy, "cublasLtDestroy");
  find(f.matmul_desc_create, "cublasLtMatmulDescCreate");
  find(f.matmul_desc_destroy, "cublasLtMatmulDescDestroy");
  find(f.matmul_desc_set, "cublasLtMatmulDescSetAttribute");
  find(f.layout_create, "cublasLtMatrixLayoutCreate");
  find(f.layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(f.preference_create, "cublasLtMatmulPreferenceCreate");
  find(f.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(f.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  find(f.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(f.algorithm_get, "cublasLtMatmulAlgoConfigGetAttribute");
  find(f.matmul, "cublasLtMatmul");
  return f;
}

}  // namespace

const Functions& load() {
  static std::mutex mutex;
  static Functions functions;
  static bool loaded = false;
  const std::lock_guard lock(mutex);
  if (!loaded) functions = resolve();
  loaded = true;
  return functions;
}

}  // namespace proofmill::cublaslt
