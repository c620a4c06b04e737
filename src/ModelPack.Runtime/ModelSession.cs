using System.Buffers;
using System.Collections.Immutable;
using Microsoft.ML.OnnxRuntime;
using ModelPack.Pack;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime;

/// <summary>
/// A model that can be run: a compiled artifact (<see cref="PackedModel"/>) or a plain .onnx file, behind one interface.
/// </summary>
/// <remarks>
/// All members are safe to use from several threads at once; concurrent runs share the weights. <see cref="Dispose"/> may be called
/// while runs are in progress: they finish, later ones fail with <see cref="ObjectDisposedException"/>.
/// </remarks>
public abstract class ModelSession : IDisposable
{
    private static readonly RunOptions DefaultRun = new();

    private readonly InferenceSession _session;
    private readonly string[] _outputNames;
    private int _users = 1; // One for the owner, one per run in progress; 0 once everything is released.
    private int _disposed;

    private protected ModelSession(string path, InferenceSession session)
    {
        Path = path;
        _session = session;
        Inputs = [.. session.InputNames.Select(n => Describe(n, session.InputMetadata[n]))];
        Outputs = [.. session.OutputNames.Select(n => Describe(n, session.OutputMetadata[n]))];
        _outputNames = [.. session.OutputNames];
    }

    /// <summary>The file, as named when it was opened.</summary>
    public string Path { get; }

    /// <summary>What the model takes, in the order of its graph.</summary>
    public ImmutableArray<ModelValue> Inputs { get; }

    /// <summary>What the model gives, in the order of its graph.</summary>
    public ImmutableArray<ModelValue> Outputs { get; }

    /// <summary>The output <c>logits</c> is of the last position only.</summary>
    internal bool GivesLastPosition { get; private protected init; }

    /// <summary>Opens an artifact or an .onnx file, told apart by content.</summary>
    /// <exception cref="ModelPackException">MP1xxx: the file cannot be read; MP5001 to MP5003: it cannot be executed.</exception>
    public static ModelSession Open(string path, ModelSessionOptions? options = null) =>
        PackReader.IsNamedOrIsArtifact(path) ? PackedModel.Open(path, options) : OnnxModel.Load(path, options ?? new ModelSessionOptions());

    /// <summary>Runs the model.</summary>
    /// <param name="inputs">A tensor for every input. They stay the caller's.</param>
    /// <param name="outputs">Outputs to compute; null for all.</param>
    /// <returns>The outputs, to be disposed by the caller.</returns>
    /// <exception cref="ModelPackException">MP5004: an input is missing, unknown, or of the wrong type or shape; MP5005: ONNX Runtime failed; MP5006: unknown output.</exception>
    /// <exception cref="ObjectDisposedException">The model was disposed.</exception>
    public ModelOutputs Run(IReadOnlyDictionary<string, OrtValue> inputs, IReadOnlyList<string>? outputs = null)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        string[] names = new string[inputs.Count];
        var values = new OrtValue[inputs.Count];
        int i = 0;
        foreach ((string name, OrtValue value) in inputs)
        {
            names[i] = name;
            values[i++] = value;
        }

        return RunCore(names, values, outputs);
    }

    /// <summary>As the overload for OrtValue, with inputs in managed memory.</summary>
    /// <exception cref="ModelPackException">As there.</exception>
    /// <exception cref="ObjectDisposedException">The model was disposed.</exception>
    public ModelOutputs Run(IReadOnlyList<NamedTensor> inputs, IReadOnlyList<string>? outputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        var pins = new MemoryHandle[inputs.Count];
        var values = new OrtValue[inputs.Count];
        string[] names = new string[inputs.Count];
        try
        {
            for (int i = 0; i < inputs.Count; i++)
            {
                names[i] = inputs[i].Name;
                values[i] = Wrap(inputs[i], ref pins[i]);
            }

            return RunCore(names, values, outputs);
        }
        finally
        {
            for (int i = 0; i < values.Length; i++)
            {
                values[i]?.Dispose();
                pins[i].Dispose();
            }
        }
    }

    /// <summary>Runs the model on tensors in managed memory; outputs are copied to managed memory, so nothing needs disposing.</summary>
    /// <exception cref="ModelPackException">As the other overload; MP5006 also for an output that is not a dense tensor of a fixed-width type.</exception>
    /// <exception cref="ObjectDisposedException">The model was disposed.</exception>
    public IReadOnlyList<NamedTensor> Run(params IReadOnlyList<NamedTensor> inputs)
    {
        using ModelOutputs outputs = Run(inputs, null);
        var results = new NamedTensor[outputs.Count];
        for (int i = 0; i < results.Length; i++)
        {
            results[i] = Copy(outputs.Names[i], outputs[i]);
        }

        return results;
    }

    /// <summary>Releases the session once the last run in progress has ended.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Leave();
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>Releases what a derived class holds; called exactly once, after the last run.</summary>
    private protected virtual void Release()
    {
    }

    /// <summary>Makes something that takes a session over: when that fails, the session is closed, and errors name its file.</summary>
    internal static T TakenOver<T>(ModelSession session, Func<T> make)
    {
        try
        {
            return make();
        }
        catch (ModelPackException e)
        {
            session.Dispose();
            throw e.WithPath(session.Path);
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Options every session is created with.</summary>
    private protected static SessionOptions MakeSessionOptions(ModelSessionOptions options)
    {
        var session = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL }; // Errors come as exceptions.
        try
        {
            session.IntraOpNumThreads = Math.Max(0, options.Threads);

            // A second arena for every set of input sizes: a text detector at 960x960 took 350 instead of 220 MB with it, and as long.
            session.EnableMemoryPattern = false;

            // Idle sessions must not burn the cores of the one that runs: stop spinning when a run ends.
            session.AddSessionConfigEntry("session.force_spinning_stop", "1");
            OrtTable.AddOperators(session);
            options.ConfigureSession?.Invoke(session);
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>The runtime's message without the code location it starts with.</summary>
    private protected static string Reason(OnnxRuntimeException e) => e.Message.ReplaceLineEndings(" ").Trim();

    private static ModelValue Describe(string name, NodeMetadata metadata)
    {
        if (metadata.OnnxValueType != OnnxValueType.ONNX_TYPE_TENSOR)
        {
            return new ModelValue(name, DType.Undefined, []);
        }

        int[] sizes = metadata.Dimensions;
        string[] symbols = metadata.SymbolicDimensions;
        var dims = new ModelDimension[sizes.Length];
        for (int i = 0; i < sizes.Length; i++)
        {
            dims[i] = sizes[i] >= 0 ? new ModelDimension(sizes[i], null) : new ModelDimension(null, symbols[i].Length > 0 ? symbols[i] : null);
        }

        return new ModelValue(name, ElementTypes.ToDType(metadata.ElementDataType), [.. dims]);
    }

    private static unsafe OrtValue Wrap(NamedTensor tensor, ref MemoryHandle pin)
    {
        pin = tensor.Memory.Pin();
        void* data = pin.Pointer;
        long empty = 0;
        return OrtValue.CreateTensorValueWithData(
            OrtMemoryInfo.DefaultInstance, ElementTypes.ToOrt(tensor.DType), [.. tensor.Shape.Dims], data == null ? (nint)(&empty) : (nint)data, tensor.Bytes.Length);
    }

    private static NamedTensor Copy(string name, OrtValue value)
    {
        if (value.OnnxType != OnnxValueType.ONNX_TYPE_TENSOR)
        {
            throw new ModelPackException(ErrorCodes.BadOutput, $"output '{name}' is not a dense tensor");
        }

        OrtTensorTypeAndShapeInfo info = value.GetTensorTypeAndShape();
        DType dtype = ElementTypes.ToDType(info.ElementDataType);
        if (!dtype.HasFixedWidth())
        {
            throw new ModelPackException(ErrorCodes.BadOutput, $"output '{name}' has element type {dtype.Name()}, which has no fixed width: use the overload that gives OrtValue");
        }

        byte[] bytes = info.ElementCount == 0 ? [] : value.GetTensorMutableRawData().ToArray();
        return NamedTensor.OfBytes(name, dtype, new Shape(info.Shape), bytes);
    }

    /// <summary>Runs the model with outputs in the caller's memory.</summary>
    /// <param name="inputs">A tensor for every input.</param>
    /// <param name="outputNames">Outputs to compute.</param>
    /// <param name="outputs">Where they go: tensors of the types and shapes that the run gives, which share no memory with inputs unless an operator of the graph is made for that.</param>
    /// <exception cref="ModelPackException">MP5004, MP5005.</exception>
    internal void RunInto(IReadOnlyDictionary<string, OrtValue> inputs, string[] outputNames, OrtValue[] outputs)
    {
        string[] names = [.. inputs.Keys];
        OrtValue[] values = [.. inputs.Values];
        Enter();
        try
        {
            InputCheck.Check(Inputs, names, values, Path);
            _session.Run(DefaultRun, names, values, outputNames, outputs);
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelPackException(ErrorCodes.RunFailed, $"ONNX Runtime: {Reason(e)}", Path, innerException: e);
        }
        finally
        {
            Leave();
        }
    }

    private ModelOutputs RunCore(string[] names, OrtValue[] values, IReadOnlyList<string>? outputs)
    {
        Enter();
        try
        {
            InputCheck.Check(Inputs, names, values, Path);
            string[] wanted = outputs is null ? _outputNames : [.. outputs];
            foreach (string name in wanted)
            {
                if (Array.IndexOf(_outputNames, name) < 0)
                {
                    throw new ModelPackException(ErrorCodes.BadOutput, $"no output '{name}'; there are: {string.Join(", ", _outputNames)}", Path);
                }
            }

            return new ModelOutputs(wanted, _session.Run(DefaultRun, names, values, wanted));
        }
        catch (OnnxRuntimeException e)
        {
            throw new ModelPackException(ErrorCodes.RunFailed, $"ONNX Runtime: {Reason(e)}", Path, innerException: e);
        }
        finally
        {
            Leave();
        }
    }

    private void Enter()
    {
        int users = Volatile.Read(ref _users);
        while (users > 0)
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
            int seen = Interlocked.CompareExchange(ref _users, users + 1, users);
            if (seen == users)
            {
                return;
            }

            users = seen;
        }

        throw new ObjectDisposedException(GetType().FullName);
    }

    private void Leave()
    {
        if (Interlocked.Decrement(ref _users) == 0)
        {
            _session.Dispose();
            Release();
        }
    }
}
