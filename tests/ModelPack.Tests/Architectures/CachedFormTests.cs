using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using ModelPack.Architectures;
using ModelPack.Compiler;
using ModelPack.Runtime;
using ModelPack.Testing;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Architectures;

/// <summary>The form with keys and values of earlier tokens gives what the full form gives.</summary>
public sealed class CachedFormTests
{
    private const int Tokens = 128;
    private const int Prompt = 37;
    private static readonly ModelSessionOptions Options = new() { Threads = 1 };

    public static TheoryData<string, GraphForm> Cases
    {
        get
        {
            var cases = new TheoryData<string, GraphForm>();
            foreach (string name in FamilyCases.Names)
            {
                cases.Add(name, GraphForm.Cached);
                cases.Add(name, GraphForm.CachedFused);
            }

            return cases;
        }
    }

    /// <summary>A prompt at once, more of it, then token by token up to 128.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void PrefillAndDecode_giveTheLogitsOfTheFullForm(string name, GraphForm form)
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make(name, change: form == GraphForm.CachedFused ? WiderHeads : null).Write(folder);
        long[] ids = FamilyCases.Ids(Tokens, seed: 11);
        using ModelSession full = ModelInput.Open(path, Options);
        using ModelSession cached = ModelInput.Open(path, Options, form);
        NamedTensor expected = full.Run(NamedTensor.Of("input_ids", ids, 1, Tokens)).Single();

        var logits = new List<float>();
        IReadOnlyList<NamedTensor> past = Empty(cached);
        for (int from = 0; from < Tokens;)
        {
            int count = from == 0 ? Prompt : from == Prompt ? 3 : 1;
            past = Step(cached, ids.AsSpan(from, count), from, past, logits);
            from += count;
        }

        Assert.Equal(expected.Values<float>().Length, logits.Count);
        float worst = 0;
        for (int i = 0; i < logits.Count; i++)
        {
            worst = Math.Max(worst, Math.Abs(logits[i] - expected.Values<float>()[i]));
        }

        Assert.InRange(worst, 0, 2e-5f);
    }

    /// <summary>Heads that the operators take: 16 channels, 8 where a setting counts them, 32 where three quarters are turned.</summary>
    private static void WiderHeads(JsonObject config) => config["head_dim"] = config.ContainsKey("partial_rotary_factor") ? 32 : (string?)config["rope_scaling"]?["type"] == "longrope" ? 8 : 16;

    /// <summary>Families whose attention ONNX Runtime's operators compute: all but those with latent attention and with heads that are no multiple of eight.</summary>
    [Fact]
    public void Fused_isWhatMostFamiliesGet()
    {
        var others = new List<string>();
        foreach (string name in FamilyCases.Names)
        {
            using var folder = new TempFolder();
            using ImportedModel imported = ModelInput.Import(FamilyCases.Make(name, change: WiderHeads).Write(folder), weightsOnly: false, out _, CancellationToken.None, GraphForm.CachedFused);
            int layers = imported.Model.Graph.Outputs.Count(o => o.Name.EndsWith(".key", StringComparison.Ordinal));
            int fused = imported.Model.Graph.Nodes.Count(n => n is { Domain: "com.microsoft", OpType: "GroupQueryAttention" });
            Assert.True(fused == 0 || fused == layers, name);
            Assert.Equal(fused > 0, imported.Model.Opsets.ContainsKey("com.microsoft"));
            if (fused == 0)
            {
                others.Add(name);
            }
        }

        Assert.Equal(["deepseek v2", "deepseek v3"], others);
    }

    /// <summary>Two texts at once, as evaluation runs them.</summary>
    [Fact]
    public void Fused_inBatches_givesTheLogitsOfTheFullForm()
    {
        const int tokens = 24;
        using var folder = new TempFolder();
        string path = FamilyCases.Make("mistral", change: WiderHeads).Write(folder);
        NamedTensor ids = NamedTensor.Of("input_ids", FamilyCases.Ids(2 * tokens, seed: 4), 2, tokens);
        using ModelSession full = ModelInput.Open(path, Options);
        using ModelSession fused = ModelInput.Open(path, Options, GraphForm.CachedFused);
        IEnumerable<NamedTensor> past = Empty(fused).Select(t => NamedTensor.OfBytes(t.Name, t.DType, new Shape(2, t.Shape.Dims[1], 0, t.Shape.Dims[3]), Array.Empty<byte>()));
        NamedTensor expected = full.Run(ids).Single();
        NamedTensor actual = fused.Run([ids, NamedTensor.OfBytes("position_offset", DType.I64, Shape.Scalar, BitConverter.GetBytes(0L)), .. past]).Single(o => o.Name == "logits");
        Assert.Equal(expected.Shape, actual.Shape);
        for (int i = 0; i < expected.Values<float>().Length; i++)
        {
            Assert.Equal(expected.Values<float>()[i], actual.Values<float>()[i], 2e-5f);
        }
    }

    /// <summary>Where every layer has a window, keys and values older than it may be dropped.</summary>
    [Theory]
    [InlineData(GraphForm.Cached)]
    [InlineData(GraphForm.CachedFused)]
    public void Decode_withoutWhatTheWindowHides_givesTheSame(GraphForm form)
    {
        using var folder = new TempFolder();
        RandomCheckpoint checkpoint = FamilyCases.Make("mistral", change: form == GraphForm.CachedFused ? WiderHeads : null);
        int window = (int)checkpoint.Config["sliding_window"]!;
        string path = checkpoint.Write(folder);
        long[] ids = FamilyCases.Ids(Tokens, seed: 3);
        using ModelSession cached = ModelInput.Open(path, Options, form);
        var whole = new List<float>();
        var cut = new List<float>();
        IReadOnlyList<NamedTensor> past = Step(cached, ids.AsSpan(0, Prompt), 0, Empty(cached), []);

        Step(cached, ids.AsSpan(Prompt, 1), Prompt, past, whole);
        Step(cached, ids.AsSpan(Prompt, 1), Prompt, [.. past.Select(t => Last(t, window - 1))], cut);

        Assert.Equal(whole.Count, cut.Count);
        Assert.All(whole.Zip(cut), pair => Assert.Equal(pair.First, pair.Second, 1e-5f));
    }

    /// <summary>
    /// Keys and values in fewer bits: the same whether tokens come one by one or together, because each is rounded by itself; near the full form; and as large as they should be.
    /// </summary>
    [Theory]
    [InlineData("llama", GraphForm.CachedF16, 2e-3)]
    [InlineData("llama", GraphForm.CachedInt8, 0.15)]
    [InlineData("gemma2", GraphForm.CachedInt8, 0.15)]
    [InlineData("phi3", GraphForm.CachedF16, 4e-3)]
    public void NarrowCache_isNearTheFullForm_andTheSameInAnyPieces(string name, GraphForm form, float tolerance)
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make(name, change: form == GraphForm.CachedFused ? WiderHeads : null).Write(folder);
        long[] ids = FamilyCases.Ids(Tokens, seed: 11);
        using ModelSession full = ModelInput.Open(path, Options);
        using ModelSession cached = ModelInput.Open(path, Options, form);
        ReadOnlySpan<float> expected = full.Run(NamedTensor.Of("input_ids", ids, 1, Tokens)).Single().Values<float>();

        var whole = new List<float>();
        NamedTensor[] last = Step(cached, ids, 0, Empty(cached), whole);
        Assert.InRange(Worst(whole, expected), 1e-5f, tolerance);

        var pieces = new List<float>();
        IReadOnlyList<NamedTensor> past = Empty(cached);
        for (int from = 0; from < Tokens; from += from == 0 ? Prompt : 1)
        {
            past = Step(cached, ids.AsSpan(from, from == 0 ? Prompt : 1), from, past, pieces);
        }

        // Sums in another order move a value over the edge of a step now and then.
        Assert.InRange(Worst(pieces, whole.ToArray()), 0, tolerance / 4);
        long values = last.Where(t => !t.Name.EndsWith("_scale", StringComparison.Ordinal)).Sum(t => t.Shape.ElementCount);
        int heads = (int)cached.Inputs.First(i => i.Name == "past_key_values.0.key").Dims[3].Size!.Value;
        Assert.Equal(form == GraphForm.CachedF16 ? 2 * values : values + (values / heads * 4), last.Sum(t => t.Bytes.Length));
    }

    /// <summary>Codes reach 127 in every head of every token, and stand for what the form of f32 keeps.</summary>
    [Fact]
    public void Int8Cache_holdsKeysWithinHalfAStep()
    {
        using var folder = new TempFolder();
        string path = FamilyCases.Make("qwen3").Write(folder);
        long[] ids = FamilyCases.Ids(9, seed: 2);
        using ModelSession exact = ModelInput.Open(path, Options, GraphForm.Cached);
        using ModelSession narrow = ModelInput.Open(path, Options, GraphForm.CachedInt8);
        NamedTensor[] plain = Step(exact, ids, 0, Empty(exact), []);
        NamedTensor[] rounded = Step(narrow, ids, 0, Empty(narrow), []);
        foreach (string part in new[] { "past_key_values.0.key", "past_key_values.0.value" })
        {
            ReadOnlySpan<float> meant = plain.Single(t => t.Name == part).Values<float>();
            ReadOnlySpan<sbyte> codes = rounded.Single(t => t.Name == part).Values<sbyte>();
            ReadOnlySpan<float> scales = rounded.Single(t => t.Name == part + "_scale").Values<float>();
            int dim = codes.Length / scales.Length;
            for (int h = 0; h < scales.Length; h++)
            {
                int most = 0;
                for (int c = h * dim; c < (h + 1) * dim; c++)
                {
                    Assert.InRange(Math.Abs((codes[c] * scales[h]) - meant[c]), 0, 0.5001f * scales[h]);
                    most = Math.Max(most, Math.Abs((int)codes[c]));
                }

                Assert.Equal(127, most);
            }
        }
    }

    /// <summary>Keys and values in buffers with room behind them, whose content does not matter: the same logits, the same buffers come out, with the new tokens in them.</summary>
    [Theory]
    [InlineData("llama")]
    [InlineData("mistral")]
    [InlineData("gemma2")]
    public void Fused_withRoomBehindThePast_readsWhatIsThere(string name)
    {
        const int room = 19;
        using var folder = new TempFolder();
        string path = FamilyCases.Make(name, change: WiderHeads).Write(folder);
        long[] ids = FamilyCases.Ids(Tokens, seed: 8);
        using ModelSession session = ModelInput.Open(path, Options, GraphForm.CachedFused);
        var first = new List<float>();
        var expected = new List<float>();
        NamedTensor[] past = Step(session, ids.AsSpan(0, Prompt), 0, Empty(session), first);
        NamedTensor[] grown = Step(session, ids.AsSpan(Prompt, 4), Prompt, past, expected);

        var actual = new List<float>();
        NamedTensor[] roomy = Step(session, ids.AsSpan(Prompt, 4), Prompt, [.. past.Select(t => Wider(t, Prompt + room))], actual);
        Assert.Equal(expected, actual);
        Assert.All(roomy, t => Assert.Equal(Prompt + room, t.Shape.Dims[2]));
        Assert.All(roomy.Zip(grown), pair =>
        {
            int row = (int)pair.First.Shape.Dims[3] * sizeof(float);
            for (int head = 0; head < pair.First.Shape.Dims[1]; head++)
            {
                Assert.True(pair.First.Bytes.Slice(head * (Prompt + room) * row, (Prompt + 4) * row).SequenceEqual(pair.Second.Bytes.Slice(head * (Prompt + 4) * row, (Prompt + 4) * row)));
            }
        });
    }

    /// <summary>The same keys or values in a buffer for more tokens, which hold what would be seen.</summary>
    private static NamedTensor Wider(NamedTensor tensor, int capacity)
    {
        long[] dims = [.. tensor.Shape.Dims];
        int row = (int)dims[3] * sizeof(float);
        byte[] bytes = new byte[dims[1] * capacity * row];
        MemoryMarshal.Cast<byte, float>(bytes.AsSpan()).Fill(1e6f);
        for (int head = 0; head < dims[1]; head++)
        {
            tensor.Bytes.Slice((int)(head * dims[2]) * row, (int)dims[2] * row).CopyTo(bytes.AsSpan(head * capacity * row));
        }

        return NamedTensor.OfBytes(tensor.Name, tensor.DType, new Shape(1, dims[1], capacity, dims[3]), bytes);
    }

    private static float Worst(List<float> actual, ReadOnlySpan<float> expected)
    {
        Assert.Equal(expected.Length, actual.Count);
        float worst = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            float error = Math.Abs(actual[i] - expected[i]);
            worst = error <= worst ? worst : error;
        }

        return worst;
    }

    private static NamedTensor[] Empty(ModelSession session) =>
        [.. session.Inputs.Where(i => i.Name.StartsWith("past_key_values.", StringComparison.Ordinal)).Select(i => NamedTensor.OfBytes(i.Name, i.DType, new Shape(1, i.Dims[1].Size!.Value, 0, i.Dims[3].Size!.Value), Array.Empty<byte>()))];

    /// <summary>Runs tokens, appends their logits, and gives the past of the next step.</summary>
    private static NamedTensor[] Step(ModelSession session, ReadOnlySpan<long> ids, long offset, IReadOnlyList<NamedTensor> past, List<float> logits)
    {
        IReadOnlyList<NamedTensor> outputs = session.Run(
            [NamedTensor.Of("input_ids", ids, 1, ids.Length), NamedTensor.OfBytes("position_offset", DType.I64, Shape.Scalar, BitConverter.GetBytes(offset)), .. past]);
        logits.AddRange(outputs.Single(o => o.Name == "logits").Values<float>());
        return [.. outputs.Where(o => o.Name != "logits").Select(o => NamedTensor.OfBytes("past_key_values" + o.Name["present".Length..], o.DType, o.Shape, o.Bytes.ToArray()))];
    }

    /// <summary>The last tokens of keys or values [1, heads, tokens, dim].</summary>
    private static NamedTensor Last(NamedTensor tensor, int count)
    {
        long[] dims = [.. tensor.Shape.Dims];
        int rowBytes = (int)dims[3] * sizeof(float);
        var bytes = new List<byte>();
        for (int head = 0; head < dims[1]; head++)
        {
            int end = (int)((head + 1) * dims[2]) * rowBytes;
            bytes.AddRange(tensor.Bytes[(end - (count * rowBytes))..end]);
        }

        return NamedTensor.OfBytes(tensor.Name, tensor.DType, new Shape(1, dims[1], count, dims[3]), bytes.ToArray());
    }
}
