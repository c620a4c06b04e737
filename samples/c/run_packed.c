// Runs an ONNX model whose weights stayed packed ("modelpack export --to onnx --packed") from C: ONNX Runtime, plus ModelPack's library of operators.
//
//   run_packed <libmodelpack_ort.so> <model.onnx> <tokens.bin> <logits.f32> [cycles]
//
// tokens.bin: uint16, little-endian; the model takes input_ids int64 [1, n] and gives logits f32 [1, n, vocabulary], which are written to logits.f32. With
// "cycles", sessions are opened, run and closed that many times, and resident memory is printed after each in KiB.
#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const OrtApi *ort;

static void check(OrtStatus *status) {
  if (status != NULL) {
    fprintf(stderr, "run_packed: %s\n", ort->GetErrorMessage(status));
    ort->ReleaseStatus(status);
    exit(1);
  }
}

static long resident_kib(void) {
  char line[256];
  long kib = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "VmRSS:", 6) == 0) {
      kib = strtol(line + 6, NULL, 10);
    }
  }

  if (file != NULL) {
    fclose(file);
  }

  return kib;
}

static int64_t *read_tokens(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(1);
  }

  int64_t *tokens = malloc(sizeof *tokens * 4096);
  unsigned char pair[2];
  for (*count = 0; *count < 4096 && fread(pair, 1, 2, file) == 2; ++*count) {
    tokens[*count] = pair[0] | pair[1] << 8;
  }

  fclose(file);
  return tokens;
}

// Opens the model, runs it once, and closes everything again.
static void run(OrtEnv *env, const char *library, const char *model, int64_t *tokens, size_t count, const char *output) {
  OrtSessionOptions *options;
  OrtSession *session;
  OrtMemoryInfo *cpu;
  OrtValue *input, *logits = NULL;
  check(ort->CreateSessionOptions(&options));
  check(ort->RegisterCustomOpsLibrary_V2(options, library));
  check(ort->CreateSession(env, model, options, &session));
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &cpu));
  int64_t shape[2] = {1, (int64_t)count};
  check(ort->CreateTensorWithDataAsOrtValue(cpu, tokens, count * sizeof *tokens, shape, 2, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, &input));
  const char *inputs[] = {"input_ids"}, *outputs[] = {"logits"};
  check(ort->Run(session, NULL, inputs, (const OrtValue *const *)&input, 1, outputs, 1, &logits));
  if (output != NULL) {
    float *values;
    OrtTensorTypeAndShapeInfo *info;
    size_t length;
    check(ort->GetTensorMutableData(logits, (void **)&values));
    check(ort->GetTensorTypeAndShape(logits, &info));
    check(ort->GetTensorShapeElementCount(info, &length));
    FILE *file = fopen(output, "wb");
    if (file == NULL || fwrite(values, sizeof *values, length, file) != length || fclose(file) != 0) {
      perror(output);
      exit(1);
    }

    ort->ReleaseTensorTypeAndShapeInfo(info);
  }

  ort->ReleaseValue(logits);
  ort->ReleaseValue(input);
  ort->ReleaseMemoryInfo(cpu);
  ort->ReleaseSession(session);
  ort->ReleaseSessionOptions(options);
}

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: %s <libmodelpack_ort.so> <model.onnx> <tokens.bin> <logits.f32> [cycles]\n", argv[0]);
    return 2;
  }

  ort = OrtGetApiBase()->GetApi(18);
  if (ort == NULL) {
    fprintf(stderr, "run_packed: ONNX Runtime %s is too old\n", OrtGetApiBase()->GetVersionString());
    return 1;
  }

  OrtEnv *env;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "run_packed", &env));
  size_t count;
  int64_t *tokens = read_tokens(argv[3], &count);
  run(env, argv[1], argv[2], tokens, count, argv[4]);
  // Not needed: what a closed session leaves is freed at some later time otherwise.
  void *operators = dlopen(argv[1], RTLD_NOW);
  void (*collect)(void) = operators ? (void (*)(void))dlsym(operators, "modelpack_collect") : NULL;
  for (int cycle = 0, cycles = argc > 5 ? atoi(argv[5]) : 0; cycle < cycles; cycle++) {
    run(env, argv[1], argv[2], tokens, count, NULL);
    if (collect != NULL) {
      collect();
    }

    printf("%ld\n", resident_kib());
  }

  ort->ReleaseEnv(env);
  free(tokens);
  return 0;
}
