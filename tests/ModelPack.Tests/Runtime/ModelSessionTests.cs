using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Toolchain;
using Xunit;

namespace ModelPack.Tests.Runtime;

public sealed class ModelSessionTests
{
    private static readonly NamedTensor Ids = NamedTensor.Of("ids", [1L, 2, 3, 4, 5, 6], 2, 3);

    [Fact]
    public void A_value_without_axis_is_an_input_too()
    {
        using var folder = new TempFolder();
        string model = folder["scalar.onnx"];
        File.WriteAllBytes(model, new OnnxBuilder().Input("x", OnnxBuilder.Float, 2).Input("offset", OnnxBuilder.Float).Output("y", OnnxBuilder.Float, 2).Node("Add", ["x", "offset"], ["y"]).Build());
        using ModelSession session = ModelSession.Open(model);
        NamedTensor offset = NamedTensor.Scalar("offset", 3f);

        Assert.Equal([4f, 5], session.Run(NamedTensor.Of("x", [1f, 2f]), offset)[0].Values<float>().ToArray());
        Assert.Equal((0, "offset: f32[]"), (offset.Shape.Rank, offset.ToString()));
        Assert.Equal("MP5004", Assert.Throws<ModelPackException>(() => NamedTensor.Scalar("offset", 'x')).Code.ToString());
    }

    [Fact]
    public void Run_manyThreadsAtOnce_givesTheSameResults()
    {
        using var folder = new TempFolder();
        using PackedModel model = PackedModel.Open(CompileTests.Compile(folder, "language", "int4").Artifact);
        byte[] expected = model.Run(Ids)[0].Bytes.ToArray();
        byte[][] results = new byte[64][];
        Parallel.For(0, results.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => results[i] = model.Run(Ids)[0].Bytes.ToArray());
        Assert.All(results, r => Assert.Equal(expected, r));
    }

    [Fact]
    public void Open_hundredTimes_keepsMemoryBounded()
    {
        using var folder = new TempFolder();
        string artifact = CompileTests.Compile(folder, "language", "int4").Artifact;
        void Cycle()
        {
            using ModelSession model = ModelSession.Open(artifact);
            model.Run(Ids);
        }

        for (int i = 0; i < 20; i++)
        {
            Cycle();
        }

        // Other tests run in this process and take memory too; what leaks grows in every round.
        long least = long.MaxValue;
        for (int round = 0; round < 3 && least > 30L << 20; round++)
        {
            long before = Environment.WorkingSet;
            for (int i = 0; i < 100; i++)
            {
                Cycle();
            }

            least = Math.Min(least, Environment.WorkingSet - before);
        }

        Assert.InRange(least, long.MinValue, 30L << 20);
    }

    [Fact]
    public void Run_afterDispose_isRefused()
    {
        using var folder = new TempFolder();
        ModelSession model = ModelSession.Open(CompileTests.Compile(folder, "language", "int8").Artifact);
        model.Dispose();
        model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => model.Run(Ids));
    }

    [Fact]
    public void Run_wrongInputs_areMP5004WithTheExpectedSignature()
    {
        using var folder = new TempFolder();
        using ModelSession model = ModelSession.Open(CompileTests.Compile(folder, "language", "int8").Artifact);
        foreach (NamedTensor[] inputs in new NamedTensor[][]
        {
            [],
            [NamedTensor.Of("wrong", [1L], 1, 1)],
            [NamedTensor.Of("ids", [1f], 1, 1)],
            [NamedTensor.Of("ids", [1L])],
            [Ids, NamedTensor.Of("more", [1L], 1, 1)],
        })
        {
            var error = Assert.Throws<ModelPackException>(() => model.Run(inputs));
            Assert.Equal(ErrorCodes.BadInput, error.Code);
            Assert.Contains("ids", error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Run_unknownOutput_isMP5006()
    {
        using var folder = new TempFolder();
        using ModelSession model = ModelSession.Open(CompileTests.Compile(folder, "language", "int8").Artifact);
        using OrtValue ids = OrtValue.CreateTensorValueFromMemory([1L, 2], [1, 2]);
        var inputs = new Dictionary<string, OrtValue> { ["ids"] = ids };
        Assert.Equal(ErrorCodes.BadOutput, Assert.Throws<ModelPackException>(() => model.Run(inputs, ["nope"])).Code);
        using ModelOutputs outputs = model.Run(inputs);
        Assert.Equal(ErrorCodes.BadOutput, Assert.Throws<ModelPackException>(() => outputs["nope"]).Code);
    }

    [Fact]
    public void Run_idOutsideTheTable_isMP5005()
    {
        using var folder = new TempFolder();
        using ModelSession model = ModelSession.Open(CompileTests.Compile(folder, "language", "lossless").Artifact);
        Assert.Equal(ErrorCodes.RunFailed, Assert.Throws<ModelPackException>(() => model.Run(NamedTensor.Of("ids", [1_000_000L], 1, 1))).Code);
    }

    [Fact]
    public void Open_artifactWhosePlanMissesAWeight_isMP5003()
    {
        byte[] graph = SmallModels.Mlp(SmallModels.Values(SmallModels.K * SmallModels.N, 1), SmallModels.Values(SmallModels.N, 2), external: true);
        FakeArtifact artifact = new FakeArtifact().Graph(graph, SmallModels.MlpBindings()[..1]).Tensor("w", DType.F32, new float[SmallModels.K * SmallModels.N], SmallModels.K, SmallModels.N);
        var error = Assert.Throws<ModelPackException>(() => PackedModel.Open("fake.mpack", artifact, new ModelSessionOptions()));
        Assert.Equal(ErrorCodes.BadPlan, error.Code);
        Assert.Equal("b", error.Tensor);
    }

    [Fact]
    public void Open_expandAll_agreesWithThePlan()
    {
        using var folder = new TempFolder();
        string artifact = CompileTests.Compile(folder, "language", "int4").Artifact;
        using ModelSession planned = ModelSession.Open(artifact);
        using ModelSession expanded = ModelSession.Open(artifact, new ModelSessionOptions { ExpandAll = true });
        float[] a = planned.Run(Ids)[0].Values<float>().ToArray();
        float[] b = expanded.Run(Ids)[0].Values<float>().ToArray();
        Assert.All(a.Zip(b), p => Assert.InRange(Math.Abs(p.First - p.Second), 0, 1e-3));
    }

    [Fact]
    public void Open_truncatedArtifact_isReportedAsDamagedArtifact()
    {
        using var folder = new TempFolder();
        string artifact = CompileTests.Compile(folder, "language", "int8").Artifact;
        File.WriteAllBytes(artifact, File.ReadAllBytes(artifact)[..2000]);
        Assert.StartsWith("MP13", Assert.Throws<ModelPackException>(() => ModelSession.Open(artifact)).Code.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Open_brokenOnnx_isMP5001()
    {
        using var folder = new TempFolder();
        string path = folder["bad.onnx"];
        File.WriteAllBytes(path, new OnnxBuilder().Output("y", OnnxBuilder.Float, 1).Node("NoSuchOperator", [], ["y"]).Build());
        Assert.Equal(ErrorCodes.SessionNotCreated, Assert.Throws<ModelPackException>(() => ModelSession.Open(path)).Code);
    }
}
