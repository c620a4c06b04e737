using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// The operator <c>ai.modelpack::PackedMatMul</c>: y [..., N] = x [..., K] W^T + bias, W [N, K] in a number format and in execution layout, dense or sparse, never expanded. Inputs: x f32, W u8 [bytes] (a constant,
/// see <see cref="PackedMatrix"/>, <see cref="PackedSparseMatrix"/> and <see cref="PackedMaskedMatrix"/>), optionally bias f32 [N]. Attributes: <c>N</c> (for shape inference), <c>arithmetic</c> (<c>f32</c>, or <c>int8</c> or <c>bf16</c> to round activations),
/// optionally <c>activation</c> (<c>relu</c>, <c>silu</c>, <c>gelu</c>, <c>gelu_tanh</c>, <c>hardswish</c>) of what comes out.
/// </summary>
internal sealed unsafe class PackedMatMul
{
    internal const int MaxRank = 16;

    private static byte* s_name;

    private readonly IMatMulRun _run;

    private readonly Activation _activation;

    private readonly ResidentWeight _weight;

    /// <summary>Handle of this object, by which threads without references find it.</summary>
    private readonly nint _self;

    /// <summary>The tiles: constant, so ONNX Runtime neither moves nor frees them before the kernel.</summary>
    private readonly byte* _tiles;

    /// <summary>Whether other threads had pieces of the last run: sessions of one thread are given as many pieces as others.</summary>
    private bool _isShared;

    private PackedMatMul(IMatMulRun run, Activation activation, PackedInput weight, long offset)
    {
        _run = run;
        _activation = activation;
        _tiles = weight.Data + offset;
        _weight = new ResidentWeight(weight);
        _self = GCHandle.ToIntPtr(GCHandle.Alloc(this));
    }

    /// <summary>Fills in the callbacks.</summary>
    /// <param name="name">Name of the operator, zero-terminated, living as long as the process.</param>
    public static CustomOp Describe(byte* name)
    {
        s_name = name;
        return new CustomOp
        {
            Version = OrtApi.Version,
            GetName = &GetName,
            GetExecutionProviderType = &GetNull,
            GetInputType = &GetInputType,
            GetInputTypeCount = &GetThree,
            GetOutputType = &GetFloat,
            GetOutputTypeCount = &GetOne,
            KernelDestroy = &Destroy,
            GetInputCharacteristic = &GetInputCharacteristic,
            GetOutputCharacteristic = &GetZeroOf,
            GetInputMemoryType = &GetZeroOf,
            GetVariadicInputMinArity = &GetZero,
            GetVariadicInputHomogeneity = &GetZero,
            GetVariadicOutputMinArity = &GetZero,
            GetVariadicOutputHomogeneity = &GetZero,
            CreateKernelV2 = &Create,
            KernelComputeV2 = &Compute,
            InferOutputShape = &InferShape,
            GetStartVersion = &GetOneVersion,
            GetEndVersion = &GetLastVersion,
        };
    }

    [UnmanagedCallersOnly]
    private static byte* GetName(CustomOp* op) => s_name;

    [UnmanagedCallersOnly]
    internal static byte* GetNull(CustomOp* op) => null;

    [UnmanagedCallersOnly]
    private static int GetInputType(CustomOp* op, nuint index) => index == 1 ? OrtApi.UInt8 : OrtApi.Float;

    [UnmanagedCallersOnly]
    internal static nuint GetThree(CustomOp* op) => 3;

    [UnmanagedCallersOnly]
    internal static nuint GetOne(CustomOp* op) => 1;

    [UnmanagedCallersOnly]
    internal static int GetFloat(CustomOp* op, nuint index) => OrtApi.Float;

    /// <summary>The bias is optional.</summary>
    [UnmanagedCallersOnly]
    private static int GetInputCharacteristic(CustomOp* op, nuint index) => index == 2 ? 1 : 0;

    [UnmanagedCallersOnly]
    internal static int GetZeroOf(CustomOp* op, nuint index) => 0;

    [UnmanagedCallersOnly]
    internal static int GetZero(CustomOp* op) => 0;

    [UnmanagedCallersOnly]
    internal static int GetOneVersion(CustomOp* op) => 1;

    [UnmanagedCallersOnly]
    internal static int GetLastVersion(CustomOp* op) => int.MaxValue;

    [UnmanagedCallersOnly]
    private static void Destroy(nint kernel)
    {
        GCHandle handle = GCHandle.FromIntPtr(kernel);
        (handle.Target as PackedMatMul)?._run.Dispose();
        handle.Free();
    }

    [UnmanagedCallersOnly]
    private static nint Create(CustomOp* op, nint api, nint info, nint* kernel)
    {
        try
        {
            nint status = OrtApi.GetText(info, "arithmetic\0"u8, out string? arithmetic);
            Activation activation = default;
            PackedInput input = default;
            status = status != 0 ? status : ReadActivation(info, "PackedMatMul", out activation);
            status = status != 0 ? status : PackedInput.Read(info, 1, "PackedMatMul", out input);
            if (status != 0)
            {
                return status;
            }

            IMatMulRun? run = Open(input.Data, input.LengthBytes, arithmetic, out long offset);
            if (run is null)
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"PackedMatMul: a weight of {input.LengthBytes} bytes that no kernel reads with arithmetic {arithmetic}");
            }

            *kernel = new PackedMatMul(run, activation, input, offset)._self;
            return 0;
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"PackedMatMul: {e.Message}");
        }
    }

    /// <summary>The attribute <c>activation</c>, which may be absent.</summary>
    internal static nint ReadActivation(nint info, string op, out Activation activation)
    {
        activation = Activation.None;
        nint absent = OrtApi.GetText(info, "activation\0"u8, out string? name);
        if (absent != 0)
        {
            OrtApi.ReleaseStatus(absent);
            return 0;
        }

        activation = ActivationKernels.Find(name);
        _ = KernelWarmUp.Begin(activation);
        return activation == Activation.None ? OrtApi.Error(OrtApi.InvalidArgument, $"{op}: there is no activation '{name}'") : 0;
    }

    /// <summary>The product with a weight; null when no kernel reads it.</summary>
    internal static IMatMulRun? Open(byte* data, long bytes, string? arithmetic, out long offset)
    {
        offset = 0;
        if (MatMulArithmetics.Find(arithmetic) is not MatMulArithmetic asked)
        {
            return null;
        }

        if (PackedMatrix.Read(data, bytes) is MatMulWeight weight)
        {
            if (!weight.Has(asked))
            {
                weight.Dispose();
                return null;
            }

            offset = PackedMatrix.HeaderBytes(weight.Format);
            _ = KernelWarmUp.Begin(weight, asked);
            return new MatMulRun(weight, asked, KernelTiers.Current);
        }

        if (asked == MatMulArithmetic.Float && PackedMaskedMatrix.Read(data, bytes) is MaskedWeight masked)
        {
            offset = PackedMaskedMatrix.TilesOffset(masked);
            _ = KernelWarmUp.Begin(masked);
            return new MaskedMatMulRun(masked, KernelTiers.Current);
        }

        if (asked != MatMulArithmetic.Float || PackedSparseMatrix.Read(data, bytes) is not SparseWeight sparse)
        {
            return null;
        }

        offset = PackedSparseMatrix.TilesOffset(sparse);
        _ = KernelWarmUp.Begin(sparse);
        return new SparseMatMulRun(sparse, KernelTiers.Current);
    }

    [UnmanagedCallersOnly]
    internal static nint InferShape(CustomOp* op, nint context)
    {
        long n = 0;
        nint info = 0;
        nuint rank = 0;
        nint status = OrtApi.GetInferredInt(context, "N\0"u8, &n);
        status = status != 0 ? status : OrtApi.GetInferredInput(context, 0, &info);
        status = status != 0 ? status : OrtApi.GetRank(info, &rank);
        if (status != 0 || rank is 0 or > MaxRank)
        {
            return status;
        }

        long* dims = stackalloc long[MaxRank];
        byte** symbols = stackalloc byte*[MaxRank];
        byte none = 0;
        status = OrtApi.GetDimensions(info, dims, rank);
        status = status != 0 ? status : OrtApi.GetSymbols(info, symbols, rank);
        dims[rank - 1] = n;
        symbols[rank - 1] = &none;
        for (nuint i = 0; i < rank && status == 0; i++)
        {
            // A dimension without size and name would erase the name that the model gives the output.
            if (dims[i] < 0 && *symbols[i] == 0)
            {
                return 0;
            }
        }

        return status != 0 ? status : OrtApi.SetInferredShape(context, dims, symbols, rank);
    }

    [UnmanagedCallersOnly]
    private static nint Compute(nint kernel, nint context)
    {
        try
        {
            return ((PackedMatMul)GCHandle.FromIntPtr(kernel).Target!).Compute(context);
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"PackedMatMul: {e.Message}");
        }
    }

    private nint Compute(nint context)
    {
        long* dims = stackalloc long[MaxRank];
        nuint count = 0;
        nint x = 0;
        nint bias = 0;
        nint status = OrtApi.GetInputCount(context, &count);
        status = status != 0 ? status : OrtApi.GetInput(context, 0, &x);
        status = status != 0 || count < 3 ? status : OrtApi.GetInput(context, 2, &bias);
        nuint rank = 0;
        long elements = 0;
        if (status == 0 && bias != 0)
        {
            status = Shape(bias, dims, &rank, &elements);
            if (status == 0 && elements != _run.Outputs)
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"PackedMatMul: the bias has {elements} values, not {_run.Outputs}");
            }
        }

        status = status != 0 ? status : Shape(x, dims, &rank, &elements);
        if (status != 0)
        {
            return status;
        }

        if (rank == 0 || dims[rank - 1] != _run.Inputs)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"PackedMatMul: the last dimension of the activations is not {_run.Inputs}");
        }

        dims[rank - 1] = _run.Outputs;
        nint y = 0;
        float* from = null;
        float* add = null;
        float* to = null;
        status = OrtApi.GetOutput(context, 0, dims, rank, &y);
        status = status != 0 ? status : OrtApi.GetData(x, (void**)&from);
        status = status != 0 ? status : OrtApi.GetData(y, (void**)&to);
        status = status != 0 || bias == 0 ? status : OrtApi.GetData(bias, (void**)&add);
        _weight.Use();
        long rows = elements / _run.Inputs;
        for (long first = 0; first < rows && status == 0; first += MatMulRun.MaxRows)
        {
            int some = (int)Math.Min(MatMulRun.MaxRows, rows - first);
            status = Multiply(context, from + (first * _run.Inputs), some, add, to + (first * _run.Outputs));
        }

        return status;
    }

    private nint Multiply(nint context, float* x, int rows, float* bias, float* y)
    {
        void* scratch = ThreadScratch.Get(ScratchUse.Activations, _run.ScratchBytes(rows));
        int together = _run.PartsTogether(rows);
        int pieces = WorkSplit.Pieces((_run.Parts + together - 1) / together, _run.MultiplicationsPerRow * rows, Environment.ProcessorCount);
        if (pieces == 1)
        {
            _run.Prepare(x, rows, scratch);
            Run(scratch, rows, 0, _run.Parts, bias, y);
            return 0;
        }

        _run.Prepare(x, rows, scratch, _isShared);
        var job = new Job { Kernel = _self, Scratch = scratch, Rows = rows, Together = together, Pieces = pieces, Bias = bias, Y = y, Caller = Environment.CurrentManagedThreadId };
        nint status = OrtApi.ParallelFor(context, &Piece, (nuint)pieces, &job);
        _isShared = job.IsShared;
        return status;
    }

    [UnmanagedCallersOnly]
    private static void Piece(void* data, nuint index)
    {
        var job = (Job*)data;
        var kernel = (PackedMatMul)GCHandle.FromIntPtr(job->Kernel).Target!;
        int parts = kernel._run.Parts;
        int groups = (parts + job->Together - 1) / job->Together;
        int first = job->Together * (int)WorkSplit.Begin(groups, (long)index, job->Pieces);
        int end = Math.Min(job->Together * (int)WorkSplit.Begin(groups, (long)index + 1, job->Pieces), parts);
        kernel.Run(job->Scratch, job->Rows, first, end - first, job->Bias, job->Y);
        if (Environment.CurrentManagedThreadId != job->Caller)
        {
            job->IsShared = true;
        }
    }

    /// <summary>Some parts, with what is to be done to them.</summary>
    private void Run(void* scratch, int rows, int first, int count, float* bias, float* y)
    {
        _run.Run(_tiles, scratch, rows, first, count, bias, y);
        if (_activation != Activation.None)
        {
            int output = first * _run.PartOutputs;
            int outputs = Math.Min(count * _run.PartOutputs, _run.Outputs - output);
            for (int r = 0; r < rows; r++)
            {
                ActivationKernels.Run(KernelTiers.Current, _activation, y + ((long)r * _run.Outputs) + output, outputs);
            }
        }
    }

    /// <summary>Dimensions, their number and product.</summary>
    internal static nint Shape(nint value, long* dims, nuint* rank, long* elements)
    {
        nint info = 0;
        nint status = OrtApi.GetShapeInfo(value, &info);
        if (status != 0)
        {
            return status;
        }

        status = OrtApi.GetRank(info, rank);
        if (status == 0 && *rank > MaxRank)
        {
            status = OrtApi.Error(OrtApi.InvalidArgument, $"PackedMatMul: more than {MaxRank} dimensions");
        }

        status = status != 0 ? status : OrtApi.GetDimensions(info, dims, *rank);
        OrtApi.ReleaseShapeInfo(info);
        *elements = 1;
        for (nuint i = 0; i < *rank && status == 0; i++)
        {
            *elements *= dims[i];
        }

        return status;
    }

    /// <summary>What the threads of one product share.</summary>
    private struct Job
    {
        public nint Kernel;
        public void* Scratch;
        public int Rows;

        /// <summary>Parts of which pieces have multiples.</summary>
        public int Together;

        public int Pieces;
        public float* Bias;
        public float* Y;
        public int Caller;
        public bool IsShared;
    }
}
