using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Runtime.Generation;

/// <summary>One sequence of tokens on its way through a model. With a cached graph the keys and values of a step are handed to the next one as they are, in ONNX Runtime's memory; with a full graph every step runs all tokens.</summary>
internal sealed class SequenceState(ModelSession session, LanguageModelSignature signature, bool cached) : IDisposable
{
    /// <summary>Tokens of a prompt that go through a cached graph at once: what bounds the memory for activations and logits.</summary>
    private const int ChunkTokens = 128;

    private const string PastPrefix = "past_key_values";
    private const string PresentPrefix = "present";

    private readonly List<int> _tokens = [];
    private ModelOutputs? _last;
    private bool _disposed;

    /// <summary>Name of the output that continues an input of keys or values.</summary>
    public static string Present(string past) => PresentPrefix + past[PastPrefix.Length..];

    /// <summary>Adds tokens; cancellation is seen between runs.</summary>
    /// <returns>Logits [vocabulary] of what follows the last token, valid until the next call.</returns>
    /// <exception cref="ModelPackException">MP5005: ONNX Runtime failed; MP5020: the logits have another shape.</exception>
    public ReadOnlySpan<float> Append(IReadOnlyList<int> tokens, CancellationToken cancellation)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        int done = cached ? _tokens.Count : 0;
        _tokens.AddRange(tokens);
        while (done < _tokens.Count)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = cached ? Math.Min(ChunkTokens, _tokens.Count - done) : _tokens.Count;
            Step(_tokens.GetRange(done, count), done);
            done += count;
        }

        return LastRow(_last![signature.Logits]);
    }

    public void Dispose()
    {
        _disposed = true;
        _last?.Dispose();
        _last = null;
    }

    private void Step(List<int> tokens, int offset)
    {
        ModelOutputs? before = _last;
        using LanguageModelInputs inputs = signature.MakeNext([.. tokens], offset, before is null || !cached ? null : name => before[Present(name)]);
        _last = session.Run(inputs.Values, cached ? null : [signature.Logits]);
        before?.Dispose();
    }

    private ReadOnlySpan<float> LastRow(OrtValue logits)
    {
        long[] shape = logits.GetTensorTypeAndShape().Shape;
        ReadOnlySpan<float> all = logits.GetTensorDataAsSpan<float>();
        return shape is [1, > 0, > 0] ? all[^(int)shape[2]..] : throw new ModelPackException(ErrorCodes.NotALanguageModel, $"output '{signature.Logits}' has shape [{string.Join(',', shape)}], not [1,sequence,vocabulary]", session.Path);
    }
}
