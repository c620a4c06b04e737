using System.Runtime.InteropServices;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>
/// Text that the language model itself writes: a random first token, then samples from what it predicts (Liu et al., "LLM-QAT: data-free quantization aware training", 2023, section 3.1). What it finds likely is near what
/// it was trained on, so its activations are those that matter.
/// </summary>
internal static class GeneratedText
{
    /// <summary>Tokens per sample.</summary>
    public const int DefaultWindow = 256;

    /// <summary>Sequences that are written side by side.</summary>
    private const int Batch = 16;

    /// <summary>Writes a token file.</summary>
    public static void Write(string path, UnitSpec spec, string model, CalibrationLimits limits)
    {
        spec.AllowOnly("samples", "seed", "window");
        int samples = spec.Int("samples", 16, 1, 4096);
        int seed = spec.Int("seed", 0, 0, int.MaxValue);
        int window = spec.Int("window", DefaultWindow, 2, 1 << 16);
        using ModelSession session = ModelInput.Open(model, new ModelSessionOptions { Threads = limits.Threads });
        LanguageModelSignature signature = Signature(session, window, model);
        int together = signature.FreeBatch ? Math.Min(Batch, samples) : 1;
        ushort[] all = new ushort[samples * window];
        for (int first = 0; first < samples; first += together)
        {
            int count = Math.Min(together, samples - first);
            SplitMix64[] random = [.. Enumerable.Range(first, count).Select(s => new SplitMix64(((ulong)(uint)seed << 32) | (uint)s))];
            for (int length = 0; length < window; length++)
            {
                limits.Cancellation.ThrowIfCancellationRequested();
                limits.Progress?.Invoke("generate", ((long)first * window) + ((long)length * count), (long)samples * window, null);
                Extend(session, signature, all.AsSpan(first * window, count * window), window, length, random, model);
            }
        }

        File.WriteAllBytes(path, MemoryMarshal.AsBytes(all.AsSpan()).ToArray());
    }

    /// <summary>Adds a token to every sequence.</summary>
    private static void Extend(ModelSession session, LanguageModelSignature signature, Span<ushort> sequences, int window, int length, SplitMix64[] random, string path)
    {
        // The first token needs the number of words, which the model's first answer gives.
        int context = signature.FixedWindow ? window : Math.Max(1, length);
        ushort[] ids = new ushort[random.Length * context];
        for (int s = 0; s < random.Length; s++)
        {
            sequences.Slice(s * window, length).CopyTo(ids.AsSpan(s * context));
        }

        using LanguageModelInputs inputs = signature.MakeInputs(ids, random.Length, context);
        using ModelOutputs outputs = session.Run(inputs.Values, [signature.Logits]);
        int vocabulary = checked((int)outputs[0].GetTensorTypeAndShape().Shape[^1]);
        if (vocabulary > ushort.MaxValue + 1)
        {
            throw new ModelPackException(ErrorCodes.CalibrationData, $"generate:text writes 16-bit token ids, and the model has {vocabulary} words", path);
        }

        ReadOnlySpan<float> logits = outputs[0].GetTensorDataAsSpan<float>();
        for (int s = 0; s < random.Length; s++)
        {
            sequences[(s * window) + length] = length == 0
                ? (ushort)(random[s].Unit() * vocabulary)
                : Sample(logits.Slice((((s * context) + length) - 1) * vocabulary, vocabulary), random[s].Unit());
        }
    }

    /// <summary>The token at a point of the distribution.</summary>
    private static ushort Sample(ReadOnlySpan<float> logits, double point)
    {
        float largest = float.NegativeInfinity;
        foreach (float logit in logits)
        {
            largest = Math.Max(largest, logit);
        }

        double total = 0;
        foreach (float logit in logits)
        {
            total += Math.Exp(logit - largest);
        }

        double left = point * total;
        for (int token = 0; token < logits.Length; token++)
        {
            left -= Math.Exp(logits[token] - largest);
            if (left < 0)
            {
                return (ushort)token;
            }
        }

        return (ushort)logits[..].IndexOf(largest);
    }

    private static LanguageModelSignature Signature(ModelSession session, int window, string path)
    {
        try
        {
            return LanguageModelSignature.Of(session, window);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.NotALanguageModel)
        {
            throw new ModelPackException(ErrorCodes.CalibrationData, $"generate:text is for language models only: {e.Message}", path, innerException: e);
        }
    }
}
