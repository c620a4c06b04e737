using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Evaluation;

/// <summary>Which inputs of a language model take what, and which output holds the logits.</summary>
internal sealed class LanguageModelSignature
{
    private readonly ModelSession _session;
    private readonly ModelValue _ids;

    private LanguageModelSignature(ModelSession session, ModelValue ids, string logits)
    {
        _session = session;
        _ids = ids;
        Logits = logits;
    }

    /// <summary>Name of the output that holds the logits.</summary>
    public string Logits { get; }

    /// <summary>True when several windows may go through at once.</summary>
    public bool FreeBatch => _ids.Dims[0].Size is null;

    /// <exception cref="ModelPackException">MP5020.</exception>
    public static LanguageModelSignature Of(ModelSession session, int window)
    {
        ModelValue[] candidates = [.. session.Inputs.Where(i => i.DType is DType.I64 or DType.I32 && i.Dims.Length == 2)];
        ModelValue ids = candidates.FirstOrDefault(i => i.Name == "input_ids") ?? candidates.FirstOrDefault(i => !IsKnownCompanion(i.Name))
            ?? throw Error(session, "no input takes token ids [batch, sequence]");
        ModelValue logits = session.Outputs.FirstOrDefault(o => o.Name == "logits" && o.DType == DType.F32)
            ?? session.Outputs.FirstOrDefault(o => o.DType == DType.F32 && o.Dims.Length == 3)
            ?? throw Error(session, "no output gives f32 logits [batch, sequence, vocabulary]");
        if (ids.Dims[1].Size is long fixedLength && fixedLength != window)
        {
            throw Error(session, $"input '{ids.Name}' takes {fixedLength} tokens, not windows of {window}");
        }

        ModelValue? unknown = session.Inputs.FirstOrDefault(i => i != ids && !IsKnownCompanion(i.Name));
        return unknown is null
            ? new LanguageModelSignature(session, ids, logits.Name)
            : throw Error(session, $"input '{unknown}' is needed, and it is not clear what to put there");
    }

    /// <summary>Token ids and, where the model asks for them, mask, positions and token types.</summary>
    public LanguageModelInputs MakeInputs(ReadOnlySpan<ushort> ids, int batch, int window)
    {
        var inputs = new LanguageModelInputs();
        try
        {
            foreach (ModelValue input in _session.Inputs)
            {
                long[] values = new long[batch * window];
                for (int i = 0; i < values.Length; i++)
                {
                    values[i] = input.Name == _ids.Name ? ids[i] : input.Name switch
                    {
                        "attention_mask" => 1,
                        "position_ids" => i % window,
                        _ => 0,
                    };
                }

                inputs.Add(input.Name, input.DType, values, [batch, window]);
            }

            return inputs;
        }
        catch
        {
            inputs.Dispose();
            throw;
        }
    }

    private static bool IsKnownCompanion(string name) => name is "attention_mask" or "position_ids" or "token_type_ids";

    private static ModelPackException Error(ModelSession session, string detail) => new(ErrorCodes.NotALanguageModel, detail, session.Path);
}

/// <summary>Input values of one run.</summary>
internal sealed class LanguageModelInputs : IDisposable
{
    private readonly Dictionary<string, OrtValue> _values = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, OrtValue> Values => _values;

    public void Add(string name, DType dtype, long[] values, long[] shape) => _values.Add(
        name,
        dtype == DType.I32 ? OrtValue.CreateTensorValueFromMemory(Array.ConvertAll(values, v => (int)v), shape) : OrtValue.CreateTensorValueFromMemory(values, shape));

    public void Dispose()
    {
        foreach (OrtValue value in _values.Values)
        {
            value.Dispose();
        }
    }
}
