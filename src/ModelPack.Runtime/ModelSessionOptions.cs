using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime;

/// <summary>How a model is opened. The defaults are right for most uses.</summary>
public sealed record ModelSessionOptions
{
    /// <summary>Threads that work on one run; 0 lets ONNX Runtime use all physical cores.</summary>
    public int Threads { get; init; }

    /// <summary>Threads that decode weights while an artifact is opened; 0 means one per processor.</summary>
    public int LoadThreads { get; init; }

    /// <summary>
    /// Memory for weights, in bytes, of artifacts that are larger: weights are decoded into a temporary file beside the artifact, which is deleted at once where the system allows it, and read from there while the model runs.
    /// Outputs stay the same, bit for bit. Counted are weights that ModelPack's own operators read packed; of others ONNX Runtime keeps copies in an order of its own, which cannot be given up without changing results. Null keeps all in memory.
    /// Means nothing for .onnx files. With <see cref="PreparedFolder"/> weights are read from the file there instead of a temporary one.
    /// </summary>
    public long? ResidentBytes { get; init; }

    /// <summary>
    /// A folder, made when it is not there, in which decoded weights of artifacts are kept, a file for each artifact and form of its graph: the first opening decodes them into it, later ones map the file and decode nothing. Weights that ModelPack's own
    /// operators read are used where they are in the file, so processes share them and the system can give their memory up; of others ONNX Runtime makes copies. Outputs stay the same, bit for bit. The file is as large as the weights in memory and is never deleted;
    /// one that is damaged in its header or length is made again (<see cref="OnWarning"/>), its weights are verified by <c>modelpack verify --prepared</c>, not by every opening. Nobody may change it in place: a process that has mapped
    /// it would see that, or end. Null keeps nothing. Means nothing for .onnx files and checkpoints.
    /// </summary>
    public string? PreparedFolder { get; init; }

    /// <summary>Told, in one line, what is not as it should be but does not change what the model computes. Null: nobody is.</summary>
    public Action<string>? OnWarning { get; init; }

    /// <summary>
    /// Ignore the execution plan: run the original graph with every weight expanded to its own dtype. Slower; for comparisons and for
    /// execution providers without the planned operators. Means nothing for .onnx files.
    /// </summary>
    public bool ExpandAll { get; init; }

    /// <summary>The output <c>logits</c> is of the last position only, [batch, 1, vocabulary], where the graph allows it (<see cref="Graphs.LastPosition"/>): what generation reads.</summary>
    internal bool LastPositionOnly { get; init; }

    /// <summary>
    /// Called with the options of the session before it is created: the place to append execution providers, register custom operators or set
    /// configuration entries. The object must not be used afterwards.
    /// </summary>
    public Action<SessionOptions>? ConfigureSession { get; init; }
}
