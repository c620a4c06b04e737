using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Containers.Onnx.Schema;
using ModelPack.Testing;
using Xunit;

namespace ModelPack.Tests.Onnx;

/// <summary>Damaged files: an error with a code, or a model that means what protobuf's own parser reads; never a crash, hang or flood of memory.</summary>
public sealed class OnnxFuzzTests
{
    [Fact]
    public void Import_of_10000_damaged_models_ends_with_a_code_or_with_the_meaning_that_protobuf_gives()
    {
        byte[] original = OnnxModels.KitchenSink().ToBytes();
        FuzzReport report = Fuzzer.Fuzz(original, 10_000, bytes =>
        {
            Model model = OnnxModelReader.Read(TensorData.FromBytes(bytes));
            byte[] written = OnnxModelWriter.WriteWeightless(model, (Tensor _) => false);
            ModelProto expected = OnnxSemantics.Normalise(ModelProto.Parser.ParseFrom(bytes), "");
            ModelProto actual = OnnxSemantics.Normalise(ModelProto.Parser.ParseFrom(written), "");
            expected.IrVersion = actual.IrVersion;
            OnnxSemantics.AssertSame(expected, actual);
        });
        Assert.True(report.Accepted > 500, $"{report.Accepted} accepted");
        Assert.True(report.RejectedCount > 2000, $"{report.RejectedCount} rejected");
        Assert.True(report.Rejected.Count >= 8, string.Join(", ", report.Rejected));
    }
}
