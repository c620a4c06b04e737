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

    [Fact]
    public void Import_of_2000_damaged_references_to_external_data_never_leaves_the_folder()
    {
        using var folder = new TempFolder();
        folder.Write("model/a.bin", new byte[256]);
        folder.Write("model/b/c.bin", new byte[4096]);
        TensorProto External(string name, string location, string offset) => new()
        {
            Name = name,
            DataType = 1,
            Dims = { 8, 2 },
            DataLocation = TensorProto.Types.DataLocation.External,
            ExternalData = { OnnxModels.Entry("location", location), OnnxModels.Entry("offset", offset), OnnxModels.Entry("length", "64") },
        };
        byte[] original = OnnxModels.Model(new GraphProto { Initializer = { External("x", "a.bin", "192"), External("y", "b/c.bin", "4032"), External("z", "a.bin", "0") } }).ToBytes();
        FuzzReport report = Fuzzer.Fuzz(original, 2000, bytes =>
        {
            using ImportedModel imported = OnnxModelReader.Import(folder.Write("model/model.onnx", bytes));
            foreach (Tensor tensor in imported.Model.Graph.Initializers)
            {
                OnnxRoundTrip.Dense(tensor).ToArray();
            }

            Assert.All(imported.Files, f => Assert.StartsWith(folder["model"], Path.GetFullPath(f.Path), StringComparison.Ordinal));
        });
        Assert.True(report.Accepted > 50, $"{report.Accepted} accepted");
        Assert.True(report.Rejected.GetValueOrDefault(ErrorCodes.OnnxExternalMissing) > 10, string.Join(", ", report.Rejected));
    }
}
