using System.Collections.Immutable;
using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Evaluation;

/// <summary>Which inputs of a language model take what, and which output holds the logits.</summary>
internal sealed class LanguageModelSignature
{
    private readonly ImmutableArray<ModelValue> _inputs;
    private readonly ModelValue _ids;

    private LanguageModelSignature(ImmutableArray<ModelValue> inputs, ModelValue ids, string logits)
    {
        _inputs = inputs;
        _ids = ids;
        Logits = logits;
    }

    /// <summary>Name of the output that holds the logits.</summary>
    public string Logits { get; }

    /// <summary>True when several windows may go through at once.</summary>
    public bool FreeBatch => _ids.Dims[0].Size is null;

    /// <summary>Keys and values of earlier tokens [batch, heads, past, dim] that the model takes; none for a model that needs the whole text every time.</summary>
    public IEnumerable<ModelValue> Past => _inputs.Where(i => IsPast(i) && i.Dims.Length == 4);

    /// <summary>True when the model takes windows of one length only.</summary>
    public bool FixedWindow => _ids.Dims[1].Size is not null;

    /// <exception cref="ModelPackException">MP5020.</exception>
    public static LanguageModelSignature Of(ModelSession session, int window) => Of(session.Inputs, session.Outputs, session.Path, window);

    /// <param name="inputs">What the model takes.</param>
    /// <param name="outputs">What the model gives.</param>
    /// <param name="path">For messages.</param>
    /// <param name="window">Tokens per sample.</param>
    /// <exception cref="ModelPackException">MP5020.</exception>
    public static LanguageModelSignature Of(ImmutableArray<ModelValue> inputs, ImmutableArray<ModelValue> outputs, string? path, int window)
    {
        ModelValue[] candidates = [.. inputs.Where(i => i.DType is DType.I64 or DType.I32 && i.Dims.Length == 2)];
        ModelValue ids = candidates.FirstOrDefault(i => i.Name == "input_ids") ?? candidates.FirstOrDefault(i => !IsKnownCompanion(i.Name))
            ?? throw Error(path, "no input takes token ids [batch, sequence]");
        ModelValue logits = outputs.FirstOrDefault(o => o.Name == "logits" && o.DType == DType.F32)
            ?? outputs.FirstOrDefault(o => o.DType == DType.F32 && o.Dims.Length == 3)
            ?? throw Error(path, "no output gives f32 logits [batch, sequence, vocabulary]");
        if (ids.Dims[1].Size is long fixedLength && fixedLength != window)
        {
            throw Error(path, $"input '{ids.Name}' takes {fixedLength} tokens, not windows of {window}");
        }

        ModelValue? unknown = inputs.FirstOrDefault(i => i != ids && !IsKnownCompanion(i.Name) && !IsPast(i));
        return unknown is null
            ? new LanguageModelSignature(inputs, ids, logits.Name)
            : throw Error(path, $"input '{unknown}' is needed, and it is not clear what to put there");
    }

    /// <summary>Token ids and, where the model asks for them, mask, positions and token types; the past of a model with a key-value cache is empty.</summary>
    public LanguageModelInputs MakeInputs(ReadOnlySpan<ushort> ids, int batch, int window)
    {
        var inputs = new LanguageModelInputs();
        try
        {
            foreach (ModelValue input in _inputs)
            {
                if (IsPast(input))
                {
                    inputs.AddEmpty(input, batch);
                    continue;
                }

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

    /// <summary>Inputs for tokens that follow others, for one sequence.</summary>
    /// <param name="ids">The new tokens.</param>
    /// <param name="offset">Tokens before them.</param>
    /// <param name="past">The keys or values for an input of <see cref="Past"/>, which stay the caller's; null at the beginning.</param>
    public LanguageModelInputs MakeNext(ReadOnlySpan<int> ids, int offset, Func<string, OrtValue>? past)
    {
        var inputs = new LanguageModelInputs();
        try
        {
            foreach (ModelValue input in _inputs)
            {
                if (IsPast(input) && input.Dims.Length == 0)
                {
                    inputs.Add(input.Name, input.DType, [offset], []);
                }
                else if (IsPast(input))
                {
                    AddPast(inputs, input, past);
                }
                else
                {
                    long[] values = Next(input, ids, offset);
                    inputs.Add(input.Name, input.DType, values, [1, values.Length]);
                }
            }

            return inputs;
        }
        catch
        {
            inputs.Dispose();
            throw;
        }
    }

    private static void AddPast(LanguageModelInputs inputs, ModelValue input, Func<string, OrtValue>? past)
    {
        if (past is null)
        {
            inputs.AddEmpty(input, batch: 1);
        }
        else
        {
            inputs.Borrow(input.Name, past(input.Name));
        }
    }

    /// <summary>The new tokens, their positions and types; of the mask also what covers the tokens before.</summary>
    private long[] Next(ModelValue input, ReadOnlySpan<int> ids, int offset)
    {
        long[] values = new long[input.Name == "attention_mask" ? offset + ids.Length : ids.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = input.Name == _ids.Name ? ids[i] : input.Name switch
            {
                "attention_mask" => 1,
                "position_ids" => offset + i,
                _ => 0,
            };
        }

        return values;
    }

    private static bool IsKnownCompanion(string name) => name is "attention_mask" or "position_ids" or "token_type_ids";

    /// <summary>Where the new tokens begin, i64 []; keys or values of earlier ones [batch, heads, past, dim].</summary>
    private static bool IsPast(ModelValue input) =>
        input is { Name: "position_offset", DType: DType.I64, Dims.Length: 0 }
        || (input.Name.StartsWith("past_key_values.", StringComparison.Ordinal) && input is { DType: DType.F32 or DType.F16 or DType.I8, Dims: [_, { Size: not null }, { Size: null }, { Size: not null }] });

    private static ModelPackException Error(string? path, string detail) => new(ErrorCodes.NotALanguageModel, detail, path);
}

/// <summary>Input values of one run.</summary>
internal sealed class LanguageModelInputs : IDisposable
{
    private readonly Dictionary<string, OrtValue> _values = new(StringComparer.Ordinal);
    private readonly HashSet<string> _borrowed = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, OrtValue> Values => _values;

    public void Add(string name, DType dtype, long[] values, long[] shape) => _values.Add(
        name,
        dtype == DType.I32 ? OrtValue.CreateTensorValueFromMemory(Array.ConvertAll(values, v => (int)v), shape) : OrtValue.CreateTensorValueFromMemory(values, shape));

    /// <summary>Adds a value that stays the caller's.</summary>
    public void Borrow(string name, OrtValue value)
    {
        _values.Add(name, value);
        _borrowed.Add(name);
    }

    /// <summary>The value that stands for no earlier tokens.</summary>
    public void AddEmpty(ModelValue input, int batch) => _values.Add(
        input.Name,
        input.Dims.Length == 0
            ? OrtValue.CreateTensorValueFromMemory(new long[1], [])
            : OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, ElementTypes.ToOrt(input.DType), [input.Dims[0].Size ?? batch, input.Dims[1].Size!.Value, 0, input.Dims[3].Size!.Value]));

    public void Dispose()
    {
        foreach ((string name, OrtValue value) in _values)
        {
            if (!_borrowed.Contains(name))
            {
                value.Dispose();
            }
        }
    }
}
