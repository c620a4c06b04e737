using System.Text.Json.Serialization;
using ModelPack.Toolchain;

namespace ModelPack.Cli;

/// <summary>Source-generated contracts of the documents that commands print.</summary>
[JsonSerializable(typeof(CompileResult))]
[JsonSerializable(typeof(CalibrateResult))]
[JsonSerializable(typeof(TuneResult))]
[JsonSerializable(typeof(StructureProfile))]
[JsonSerializable(typeof(PackFileResult))]
[JsonSerializable(typeof(InspectResult))]
[JsonSerializable(typeof(ExplainResult))]
[JsonSerializable(typeof(ReportResult))]
[JsonSerializable(typeof(VerifyResult))]
[JsonSerializable(typeof(RunResult))]
[JsonSerializable(typeof(TextResult))]
[JsonSerializable(typeof(EmbedResult))]
[JsonSerializable(typeof(ClassifyResult))]
[JsonSerializable(typeof(EvalResult))]
[JsonSerializable(typeof(CompareResult))]
[JsonSerializable(typeof(ExportResult))]
[JsonSerializable(typeof(CheckResult))]
[JsonSerializable(typeof(FormatsResult))]
[JsonSerializable(typeof(BenchModelDocument))]
[JsonSerializable(typeof(BenchNumbersResult))]
[JsonSerializable(typeof(BenchKernelsResult))]
[JsonSerializable(typeof(HardwareProfile))]
[JsonSerializable(typeof(HardwareProfile[]))]
[JsonSerializable(typeof(BenchCodecResult))]
[JsonSerializable(typeof(ModelStart))]
[JsonSerializable(typeof(ErrorEnvelope))]
internal sealed partial class JsonTypes : JsonSerializerContext;
