using ModelPack.Testing;

namespace ModelPack.EndToEnd.Tests.Cli;

/// <summary>Sound files given to commands that cannot use them: the error says what the file is, not that it is broken.</summary>
public sealed class WrongKindTests(SampleModel sample) : IClassFixture<SampleModel>
{
    [Fact]
    public void Compiled_artifacts_are_asked_for_where_a_packed_file_will_not_do()
    {
        AssertError("MP4102", "explain", sample.Packed);
        AssertError("MP4102", "export", sample.Packed, "--to", "onnx", "-o", "unused.onnx");
        AssertError("MP4102", "verify", sample.Packed, "--rederive", SampleModel.Weights);
    }

    [Fact]
    public void Artifact_of_a_checkpoint_has_no_graph_to_export()
    {
        using var folder = new TempFolder();
        Assert.Equal(0, InProcess.Run(folder.Path, "compile", SampleModel.Weights, "-o", "weights.mpack", "--recipe", "lossless", "--quiet").ExitCode);

        AssertError("MP4107", "export", folder["weights.mpack"], "--to", "onnx", "-o", folder["unused.onnx"]);
    }

    [Fact]
    public void What_holds_no_graph_cannot_be_run()
    {
        using var folder = new TempFolder();

        AssertError("MP5001", "run", folder.Write("zeros.onnx", new byte[1000]));
        AssertError("MP5002", "run", sample.Packed);
        AssertError("MP5002", "eval", SampleModel.Graph, "--reference", sample.Packed);
    }

    [Fact]
    public void Rederive_with_another_model_is_refused() =>
        AssertError("MP4106", "verify", sample.Artifact, "--rederive", SampleModel.Weights);

    [Fact]
    public void Artifact_is_no_input_for_compile()
    {
        using var folder = new TempFolder();

        AssertError("MP1004", "compile", sample.Artifact, "-o", folder["again.mpack"]);
    }

    [Fact]
    public void Inputs_must_be_given_and_known()
    {
        AssertError("MP5004", "run", SampleModel.Graph);
        AssertError("MP5004", "run", SampleModel.Graph, "--input", "ids=random");
        AssertError("MP1060", "run", SampleModel.Graph, "--input", $"input_ids={SampleModel.Tokens}");
    }

    [Fact]
    public void Evaluation_data_must_fit()
    {
        using var folder = new TempFolder();
        string few = folder.Write("few.tokens.bin", new byte[100]);
        string odd = folder.Write("odd.tokens.bin", new byte[101]);
        Directory.CreateDirectory(folder["data/empty"]);

        AssertError("MP5021", "eval", SampleModel.Graph, "--tokens", few);
        AssertError("MP1070", "eval", SampleModel.Graph, "--tokens", odd, "--window", "4");
        AssertError("MP5022", "eval", SampleModel.Graph, "--reference", SampleModel.Graph, "--data", folder["data"]);
    }

    private static void AssertError(string errorCode, params string[] args)
    {
        (int code, string output, string error) = InProcess.Run(".", args);

        Assert.Equal(1, code);
        Assert.Equal("", output);
        Assert.Matches($@"^\S+: error {errorCode}: [^\n]+\n$", error);
    }
}
