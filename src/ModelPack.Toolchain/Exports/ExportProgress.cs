using ModelPack.Compiler;
using ModelPack.Containers.Gguf;

namespace ModelPack.Toolchain;

/// <summary>Reports how far an export has come, by the bytes that a writer asks tensors for. Writers take tensors one after the other, in the order in which they ask for them first.</summary>
internal sealed class ExportProgress
{
    private const string Activity = "export";

    private readonly IProgress<ToolProgress> _target;
    private readonly long _total;
    private readonly Dictionary<string, long> _starts = new(StringComparer.Ordinal);
    private long _asked;
    private long _done;

    private ExportProgress(IProgress<ToolProgress> target, long total) => (_target, _total) = (target, total);

    /// <summary>Gives the dense bytes of a model's tensors, and reports as they are read.</summary>
    public static Func<Tensor, TensorData> Dense(Model model, IProgress<ToolProgress>? target)
    {
        if (target is null)
        {
            return ArtifactContent.Dense;
        }

        long total = model.Graph.Initializers.Sum(t => t.Shape.TryElementCount(out long count) && t.DType.TryStorageBytes(count, out long bytes) ? bytes : 0);
        var progress = new ExportProgress(target, total);
        return t => progress.Observe(t.Name, ArtifactContent.Dense(t));
    }

    /// <summary>The same tensors, which report as they are read.</summary>
    public static List<GgufOutputTensor> Observe(List<GgufOutputTensor> tensors, IProgress<ToolProgress>? target)
    {
        if (target is null)
        {
            return tensors;
        }

        var progress = new ExportProgress(target, tensors.Sum(t => t.Data.LengthBytes));
        return [.. tensors.Select(t => t with { Data = progress.Observe(t.Name, t.Data) })];
    }

    private ObservedData Observe(string name, TensorData data)
    {
        if (_starts.TryAdd(name, _asked))
        {
            _asked += data.LengthBytes;
        }

        return new ObservedData(this, name, _starts[name], data);
    }

    private void Report(string name, long done)
    {
        _done = Math.Max(_done, done);
        _target.Report(new ToolProgress(Activity, Math.Min(_done, _total), _total, name));
    }

    private sealed class ObservedData(ExportProgress progress, string name, long start, TensorData data) : TensorData(data.LengthBytes)
    {
        protected override void ReadCore(long offsetBytes, Span<byte> destination)
        {
            data.Read(offsetBytes, destination);
            progress.Report(name, start + offsetBytes + destination.Length);
        }
    }
}
