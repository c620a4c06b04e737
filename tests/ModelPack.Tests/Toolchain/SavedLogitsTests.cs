using System.Buffers.Binary;
using System.Text;
using System.Text.Json.Nodes;
using ModelPack.Testing;
using ModelPack.Testing.Onnx;
using ModelPack.Tests.Cli;
using ModelPack.Tests.Runtime;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Predictions of a reference that were saved stand for the reference.</summary>
public sealed class SavedLogitsTests : IDisposable
{
    private const int Vocabulary = EvaluationTests.Vocabulary;
    private const int Window = 9;
    private readonly TempFolder _folder = new();
    private readonly float[] _table = SmallModels.Values(Vocabulary * Vocabulary, 1);
    private readonly ushort[] _ids = [.. Enumerable.Range(0, 100).Select(i => (ushort)(i * i % Vocabulary))];

    public SavedLogitsTests()
    {
        _folder.Write("reference.onnx", EvaluationTests.TableModel(_table));
        _folder.Write("model.onnx", EvaluationTests.TableModel([.. _table.Zip(SmallModels.Values(_table.Length, 2), (a, b) => a + (0.5f * b))]));
        WriteTokens("t.bin", _ids);
    }

    private string Logits => _folder["ref.safetensors"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Measures_are_those_of_the_reference_itself()
    {
        EvalResult written = Save();
        EvalResult alone = Evaluation.Perplexity(_folder["reference.onnx"], _folder["t.bin"], Window);
        EvalResult direct = Evaluation.Perplexity(_folder["model.onnx"], _folder["t.bin"], Window, reference: _folder["reference.onnx"]);

        EvalResult saved = Evaluation.Perplexity(_folder["model.onnx"], _folder["t.bin"], Window, reference: Logits);
        EvalResult same = Evaluation.Perplexity(_folder["reference.onnx"], _folder["t.bin"], Window, reference: Logits);

        Assert.Equal((alone.Nll, alone.Perplexity, Logits), (written.Nll, written.Perplexity, written.SavedLogits));
        Assert.Equal((direct.Nll, direct.Top1Agreement, direct.ReferenceNll, direct.ReferencePerplexity), (saved.Nll, saved.Top1Agreement, saved.ReferenceNll, saved.ReferencePerplexity));
        Assert.Equal(alone.Perplexity, saved.ReferencePerplexity);
        Assert.InRange(direct.Divergence!.Value, 0.01, 1);
        Assert.Equal(direct.Divergence.Value, saved.Divergence!.Value, 5e-5);
        Assert.InRange(same.Divergence!.Value, 0, 2e-6);
        Assert.Equal(1, same.Top1Agreement);
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.tmp*"));
    }

    [Fact]
    public void Each_row_is_the_softmax_of_its_position()
    {
        Save();
        byte[] file = File.ReadAllBytes(Logits);
        int header = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        JsonNode json = JsonNode.Parse(Encoding.UTF8.GetString(file, 8, header))!;
        ReadOnlySpan<byte> Part(string name) => file.AsSpan(8 + header)[(int)json[name]!["data_offsets"]![0]!..(int)json[name]!["data_offsets"]![1]!];
        int windows = _ids.Length / Window;
        Assert.Equal([windows * (Window - 1), Vocabulary], json["log_probabilities"]!["shape"]!.AsArray().Select(n => (int)n!));
        Assert.Equal("9", (string?)json["__metadata__"]!["window"]);
        Assert.Equal(0, (8 + header) % 8);

        int row = 0;
        for (int i = 0; i < windows * Window; i++)
        {
            Assert.Equal(_ids[i], BinaryPrimitives.ReadUInt16LittleEndian(Part("tokens")[(2 * i)..]));
            if (i % Window == Window - 1)
            {
                continue;
            }

            double[] logits = [.. _table.Skip(_ids[i] * Vocabulary).Take(Vocabulary).Select(v => (double)v)];
            double mass = Math.Log(logits.Sum(Math.Exp));
            for (int word = 0; word < Vocabulary; word++)
            {
                Assert.Equal(logits[word] - mass, (double)BinaryPrimitives.ReadHalfLittleEndian(Part("log_probabilities")[(2 * ((row * Vocabulary) + word))..]), 3e-3);
            }

            Assert.Equal(mass - logits[_ids[i + 1]], BinaryPrimitives.ReadDoubleLittleEndian(Part("losses")[(8 * row)..]), 5);
            Assert.Equal(Array.IndexOf(logits, logits.Max()), BinaryPrimitives.ReadInt32LittleEndian(Part("likeliest")[(4 * row)..]));
            row++;
        }

        Assert.Equal(8 + header + json["tokens"]!["data_offsets"]![1]!.GetValue<int>(), file.Length);
    }

    [Fact]
    public void Many_words_are_written_in_several_parts()
    {
        const int words = 20_000; // 511 predictions are 20 MB, more than one part
        string path = _folder.Write("wide.onnx", new OnnxBuilder()
            .Input("input_ids", OnnxBuilder.Int64, "batch", "seq")
            .Output("logits", OnnxBuilder.Float, "batch", "seq", words)
            .Initializer("e", SmallModels.Values(words * 4, 3), words, 4)
            .Initializer("w", [.. SmallModels.Values(words * 4, 4).Select(v => 4 * v)], 4, words)
            .Node("Gather", ["e", "input_ids"], ["x"])
            .Node("MatMul", ["x", "w"], ["logits"])
            .Build());
        WriteTokens("long.bin", [.. Enumerable.Range(0, 512).Select(i => (ushort)(i * 31 % words))]);
        EvalResult written = Evaluation.Perplexity(path, _folder["long.bin"], 512, saveLogits: Logits);

        EvalResult same = Evaluation.Perplexity(path, _folder["long.bin"], 512, reference: Logits);

        Assert.Equal((written.Nll, written.Nll, 1.0), (same.Nll, same.ReferenceNll, same.Top1Agreement));
        Assert.InRange(same.Divergence!.Value, 0, 1e-5);
    }

    [Fact]
    public void Words_without_a_chance_stay_comparable()
    {
        float[] table = [.. _table];
        for (int i = 0; i < table.Length; i += 7)
        {
            table[i] = -1e6f; // below what 16 bits hold
        }

        _folder.Write("masked.onnx", EvaluationTests.TableModel(table));
        Evaluation.Perplexity(_folder["masked.onnx"], _folder["t.bin"], Window, saveLogits: Logits);

        Assert.InRange(Evaluation.Perplexity(_folder["masked.onnx"], _folder["t.bin"], Window, reference: Logits).Divergence!.Value, 0, 2e-6);
    }

    [Fact]
    public void Other_tokens_or_windows_are_MP5061_and_named()
    {
        Save();
        ushort[] other = [.. _ids];
        other[40]++;
        WriteTokens("other.bin", other);
        WriteTokens("shorter.bin", _ids[..60]);

        AssertRefused(ErrorCodes.LogitsOfOtherTokens, "saved with windows of 9 tokens, not 10", "t.bin", 10);
        AssertRefused(ErrorCodes.LogitsOfOtherTokens, $"token 40 is {_ids[40]} there and {_ids[40] + 1} here", "other.bin");
        AssertRefused(ErrorCodes.LogitsOfOtherTokens, "saved of 99 tokens (11 windows), not 54", "shorter.bin");
        Assert.Equal(ErrorCodes.LogitsOfOtherTokens, Assert.Throws<ModelPackException>(() => Evaluation.Agreement(_folder["model.onnx"], Logits, null)).Code);
        WriteTokens("tail.bin", [.. _ids[..99], 3, 4]); // what fills no window is not evaluated
        Assert.NotNull(Evaluation.Perplexity(_folder["model.onnx"], _folder["tail.bin"], Window, reference: Logits).Divergence);
    }

    [Fact]
    public void Another_vocabulary_is_MP5023()
    {
        Save();
        _folder.Write("wide.onnx", NetworkModel.Language());
        Assert.Equal(ErrorCodes.OutputsDiffer, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(_folder["wide.onnx"], _folder["t.bin"], Window, reference: Logits)).Code);
    }

    [Fact]
    public void What_is_no_such_file_is_MP5060()
    {
        Save();
        byte[] whole = File.ReadAllBytes(Logits);
        string text = Encoding.Latin1.GetString(whole);
        byte[] Changed(string from, string to) => Encoding.Latin1.GetBytes(text.Replace(from, to, StringComparison.Ordinal));

        AssertBad(Changed("modelpack.logits.1", "modelpack.logits.9"), "format");
        AssertBad(Changed("\"window\":\"9\"", "\"window\":\"x\""), "window");
        AssertBad(Changed("\"window\":\"9\"", "\"window\":\"8\""), "88 predictions are not 7");
        AssertBad(Changed("likeliest", "likeliesT"), "no tensor 'likeliest'");
        byte[] bad = [.. whole];
        bad[^1] ^= 1;
        AssertBad(bad, "tokens");
        File.WriteAllBytes(Logits, whole[..^1]);
        Assert.Equal(ErrorCodes.SafetensorsDataPastEnd, Assert.Throws<ModelPackException>(Compare).Code);
        bad = [.. whole];
        bad.AsSpan(whole.Length - (2 * 99) - (2 * Vocabulary), 2 * Vocabulary).Clear();
        AssertBad(bad, "prediction 87 add up to 50");
    }

    [Fact]
    public void Interrupted_or_failed_writing_leaves_nothing_and_keeps_what_was_there()
    {
        File.WriteAllText(Logits, "older");
        using var cancel = new CancellationTokenSource();
        var progress = new Stopping(cancel);
        Assert.ThrowsAny<OperationCanceledException>(() => Evaluation.Perplexity(_folder["reference.onnx"], _folder["t.bin"], Window, saveLogits: Logits, progress: progress, cancellation: cancel.Token));
        WriteTokens("foreign.bin", [.. _ids[..50], .. Enumerable.Repeat((ushort)Vocabulary, 50)]);
        Assert.Equal(ErrorCodes.RunFailed, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(_folder["reference.onnx"], _folder["foreign.bin"], Window, saveLogits: Logits)).Code);

        Assert.Equal("older", File.ReadAllText(Logits));
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.tmp*"));
        Assert.True(progress.Reports > 0);
    }

    [Fact]
    public void Inputs_are_not_overwritten_and_tokens_are_needed()
    {
        Assert.Equal(ErrorCodes.OutputIsInput, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(_folder["model.onnx"], _folder["t.bin"], Window, saveLogits: _folder["t.bin"])).Code);
        Assert.Equal(ErrorCodes.OutputIsInput, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(_folder.Path, _folder["t.bin"], Window, saveLogits: _folder["model.onnx"])).Code);
        Assert.Equal(ErrorCodes.OutputNotWritable, Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(_folder["model.onnx"], _folder["t.bin"], Window, saveLogits: _folder["none/x.safetensors"])).Code);
        (int code, _, string error) = CliHarness.Run("eval", _folder["model.onnx"], "--reference", _folder["reference.onnx"], "--save-logits", Logits);
        Assert.Equal(2, code);
        Assert.Contains("--tokens", error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_command_writes_and_takes_them()
    {
        Assert.Equal(0, CliHarness.Run("eval", _folder["reference.onnx"], "--tokens", _folder["t.bin"], "--window", "9", "--save-logits", Logits).ExitCode);
        (int code, string output, string error) = CliHarness.Run("eval", _folder["model.onnx"], "--tokens", _folder["t.bin"], "--window", "9", "--reference", Logits, "--json");
        Assert.True(code == 0, error);
        JsonNode json = JsonNode.Parse(output)!;
        Assert.All(new[] { "perplexity", "divergence", "top1_agreement", "reference_perplexity", "reference_nll" }, key => Assert.NotNull(json[key]));
    }

    private EvalResult Save() => Evaluation.Perplexity(_folder["reference.onnx"], _folder["t.bin"], Window, saveLogits: Logits);

    private void Compare() => Evaluation.Perplexity(_folder["model.onnx"], _folder["t.bin"], Window, reference: Logits);

    private void AssertBad(byte[] file, string says)
    {
        File.WriteAllBytes(Logits, file);
        var error = Assert.Throws<ModelPackException>(Compare);
        Assert.Equal((ErrorCodes.BadSavedLogits, Logits), (error.Code, error.Path));
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
    }

    private void AssertRefused(ErrorCode code, string says, string tokens, int window = Window)
    {
        var error = Assert.Throws<ModelPackException>(() => Evaluation.Perplexity(_folder["model.onnx"], _folder[tokens], window, reference: Logits));
        Assert.Equal((code, Logits), (error.Code, error.Path));
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
    }

    private void WriteTokens(string name, ushort[] ids) => _folder.Write(name, [.. ids.SelectMany(BitConverter.GetBytes)]);

    private sealed class Stopping(CancellationTokenSource source) : IProgress<ToolProgress>
    {
        public int Reports { get; private set; }

        public void Report(ToolProgress value)
        {
            Reports++;
            source.Cancel();
        }
    }
}
