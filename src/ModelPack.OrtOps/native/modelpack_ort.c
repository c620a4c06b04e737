// libmodelpack_ort.so: what ONNX Runtime loads as a library of custom operators. It holds no kernels: it opens the library beside it that was compiled for
// this processor, and passes everything on. An AOT-compiled .NET library assumes one instruction set throughout, so there is one library per instruction set.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef void *(*register_function)(void *options, const void *api_base);
typedef void (*collect_function)(void);

static pthread_once_t opened = PTHREAD_ONCE_INIT;
static register_function register_operators;
static collect_function collect_garbage;
static char error_text[4400];

#if defined(__x86_64__)
// Best first; the last one that every supported processor runs.
static const char *variant(void) {
  __builtin_cpu_init();
  int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vbmi");
  unsigned a = 7, b = 0, c = 1, d = 0;  // Leaf 7.1, EAX bit 4: AVX-VNNI.
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return v4 && (a >> 4 & 1) ? "avx512-vnni" : v4 ? "avx512" : v3 ? "avx2" : NULL;
}
#else
static const char *variant(void) { return "arm64"; }
#endif

static void open_variant(void) {
  const char *name = variant();
  if (name == NULL) {
    snprintf(error_text, sizeof error_text, "ModelPack operators need a processor with AVX2, FMA and BMI2");
    return;
  }

  Dl_info self;
  const char *slash = dladdr((void *)open_variant, &self) && self.dli_fname ? strrchr(self.dli_fname, '/') : NULL;
  char path[4096];
  snprintf(path, sizeof path, "%.*slibmodelpack_ort.%s.so", slash ? (int)(slash - self.dli_fname + 1) : 0, slash ? self.dli_fname : "", name);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  register_operators = library ? (register_function)dlsym(library, "RegisterCustomOps") : NULL;
  collect_garbage = library ? (collect_function)dlsym(library, "modelpack_collect") : NULL;
  if (register_operators == NULL) {
    const char *why = dlerror();
    snprintf(error_text, sizeof error_text, "ModelPack operators: %s", why ? why : path);
  }
}

// struct OrtApiBase and the first member of struct OrtApi, which is all this file needs of ONNX Runtime.
struct api_base {
  const void *(*get_api)(unsigned version);
  const char *(*get_version)(void);
};

__attribute__((visibility("default"))) void *RegisterCustomOps(void *options, const struct api_base *base) {
  pthread_once(&opened, open_variant);
  if (register_operators != NULL) {
    return register_operators(options, base);
  }

  void *(*const *create_status)(int, const char *) = base->get_api(18);
  return create_status ? (*create_status)(1, error_text) : NULL;
}

// Frees what closed sessions left behind now instead of later; no session needs it.
__attribute__((visibility("default"))) void modelpack_collect(void) {
  pthread_once(&opened, open_variant);
  if (collect_garbage != NULL) {
    collect_garbage();
  }
}
