using System.Collections;
using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime;

/// <summary>The outputs of one run, in the order asked for. Dispose to give their memory back.</summary>
public sealed class ModelOutputs : IReadOnlyList<OrtValue>, IDisposable
{
    private readonly IDisposableReadOnlyCollection<OrtValue> _values;

    internal ModelOutputs(IReadOnlyList<string> names, IDisposableReadOnlyCollection<OrtValue> values)
    {
        Names = names;
        _values = values;
    }

    /// <summary>Names of the outputs.</summary>
    public IReadOnlyList<string> Names { get; }

    public int Count => _values.Count;

    public OrtValue this[int index] => _values[index];

    /// <summary>An output by name.</summary>
    /// <exception cref="ModelPackException">MP5006: the run has no such output.</exception>
    public OrtValue this[string name]
    {
        get
        {
            for (int i = 0; i < Names.Count; i++)
            {
                if (Names[i] == name)
                {
                    return _values[i];
                }
            }

            throw new ModelPackException(ErrorCodes.BadOutput, $"no output '{name}'; there are: {string.Join(", ", Names)}");
        }
    }

    public IEnumerator<OrtValue> GetEnumerator() => _values.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose() => _values.Dispose();
}
