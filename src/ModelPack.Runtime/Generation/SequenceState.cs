using Microsoft.ML.OnnxRuntime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Runtime.Generation;

/// <summary>
/// One sequence of tokens on its way through a model. With a cached graph the keys and values of a step are handed to the next one: in buffers that were taken beforehand where the graph says what it gives, else as
/// they are, in ONNX Runtime's memory. With a full graph every step runs all tokens.
/// </summary>
/// <param name="session">The model.</param>
/// <param name="signature">What it takes.</param>
/// <param name="pool">Memory for keys and values; null: the model takes none.</param>
/// <param name="expected">Tokens there will be at most, as far as is known.</param>
internal sealed class SequenceState(ModelSession session, LanguageModelSignature signature, KeyValuePool? pool, long expected = 0) : IDisposable
{
    /// <summary>Tokens of a prompt that go through a cached graph at once: what bounds the memory for activations.</summary>
    private const int ChunkTokens = 128;

    private const string PastPrefix = "past_key_values";
    private const string PresentPrefix = "present";

    /// <summary>Most tokens that room is made for at once; more are made room for when they come.</summary>
    private const long MostExpected = 4096;

    private readonly List<int> _tokens = [];
    private readonly IKeyValueMemory[]? _buffers = pool?.Rent();
    private Dictionary<string, IKeyValueMemory>? _byInput;
    private string[]? _outputNames;
    private OrtValue? _logits;
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
        int done = pool is not null ? _tokens.Count : 0;
        _tokens.AddRange(tokens);
        while (done < _tokens.Count)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = pool is not null ? Math.Min(ChunkTokens, _tokens.Count - done) : _tokens.Count;
            Step(_tokens.GetRange(done, count), done);
            done += count;
        }

        return LastRow(_logits ?? _last![signature.Logits]);
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _last?.Dispose();
        _last = null;
        _logits?.Dispose();
        _logits = null;
        if (_buffers is not null)
        {
            pool!.Return(_buffers);
        }
    }

    private void StepInBuffers(List<int> tokens, int offset)
    {
        long total = offset + tokens.Count;
        int positions = session.GivesLastPosition ? 1 : tokens.Count;
        if (_logits is null || _logits.GetTensorTypeAndShape().Shape[1] != positions)
        {
            long vocabulary = session.Outputs.First(o => o.Name == signature.Logits).Dims[2].Size!.Value;
            _logits?.Dispose();
            _logits = null;
            _logits = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float, [1, positions, vocabulary]);
        }

        _outputNames ??= [signature.Logits, .. _buffers!.Select(b => Present(b.Name))];
        _byInput ??= _buffers!.ToDictionary(b => b.Name, StringComparer.Ordinal);
        var outputs = new OrtValue[_outputNames.Length];
        outputs[0] = _logits;
        for (int i = 0; i < _buffers!.Length; i++)
        {
            _buffers[i].Prepare(offset, total, Math.Min(expected, MostExpected));
            outputs[i + 1] = _buffers[i].Present;
        }

        using LanguageModelInputs inputs = signature.MakeNext([.. tokens], offset, name => _byInput[name].Past);
        session.RunInto(inputs.Values, _outputNames, outputs);
        foreach (IKeyValueMemory buffer in _buffers)
        {
            buffer.Advance();
        }
    }

    private void Step(List<int> tokens, int offset)
    {
        if (_buffers is not null)
        {
            StepInBuffers(tokens, offset);
            return;
        }

        ModelOutputs? before = _last;
        using LanguageModelInputs inputs = signature.MakeNext([.. tokens], offset, before is null || pool is null ? null : name => before[Present(name)]);
        _last = session.Run(inputs.Values, pool is not null ? null : [signature.Logits]);
        before?.Dispose();
    }

    private ReadOnlySpan<float> LastRow(OrtValue logits)
    {
        long[] shape = logits.GetTensorTypeAndShape().Shape;
        ReadOnlySpan<float> all = logits.GetTensorDataAsSpan<float>();
        return shape is [1, > 0, > 0] ? all[^(int)shape[2]..] : throw new ModelPackException(ErrorCodes.NotALanguageModel, $"output '{signature.Logits}' has shape [{string.Join(',', shape)}], not [1,sequence,vocabulary]", session.Path);
    }
}
