using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// The operator <c>ai.modelpack::GatedMlp</c>: h = f(x G^T) * (x U^T), y = h D^T, all weights as for <see cref="PackedMatMul"/>. Inputs: x f32 [..., K], G, U and optionally D, u8 [bytes], constants; without D the output is
/// h. Attributes: <c>N</c> (columns of the output), <c>weights</c> (2 or 3), <c>activation</c> (<c>relu</c>, <c>silu</c>, <c>gelu</c>, <c>gelu_tanh</c>).
/// </summary>
internal sealed unsafe class GatedMlp
{
    private const string Name = "GatedMlp";

    private static byte* s_name;

    private readonly GatedMlpRun _run;

    /// <summary>Of G, U and D; null where there is no D.</summary>
    private readonly byte*[] _tiles;

    /// <summary>The same weights.</summary>
    private readonly ResidentWeight[] _weights;

    /// <summary>Handle of this object, by which threads without references find it.</summary>
    private readonly nint _self;

    /// <summary>Whether other threads had pieces of the last run.</summary>
    private bool _isShared;

    private GatedMlp(GatedMlpRun run, byte*[] tiles, ResidentWeight[] weights)
    {
        _run = run;
        _tiles = tiles;
        _weights = weights;
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
            GetExecutionProviderType = &PackedMatMul.GetNull,
            GetInputType = &GetInputType,
            GetInputTypeCount = &GetFour,
            GetOutputType = &PackedMatMul.GetFloat,
            GetOutputTypeCount = &PackedMatMul.GetOne,
            KernelDestroy = &Destroy,
            GetInputCharacteristic = &GetInputCharacteristic,
            GetOutputCharacteristic = &PackedMatMul.GetZeroOf,
            GetInputMemoryType = &PackedMatMul.GetZeroOf,
            GetVariadicInputMinArity = &PackedMatMul.GetZero,
            GetVariadicInputHomogeneity = &PackedMatMul.GetZero,
            GetVariadicOutputMinArity = &PackedMatMul.GetZero,
            GetVariadicOutputHomogeneity = &PackedMatMul.GetZero,
            CreateKernelV2 = &Create,
            KernelComputeV2 = &Compute,
            InferOutputShape = &PackedMatMul.InferShape,
            GetStartVersion = &PackedMatMul.GetOneVersion,
            GetEndVersion = &PackedMatMul.GetLastVersion,
        };
    }

    [UnmanagedCallersOnly]
    private static byte* GetName(CustomOp* op) => s_name;

    [UnmanagedCallersOnly]
    private static int GetInputType(CustomOp* op, nuint index) => index == 0 ? OrtApi.Float : OrtApi.UInt8;

    [UnmanagedCallersOnly]
    private static nuint GetFour(CustomOp* op) => 4;

    /// <summary>D is optional.</summary>
    [UnmanagedCallersOnly]
    private static int GetInputCharacteristic(CustomOp* op, nuint index) => index == 3 ? 1 : 0;

    [UnmanagedCallersOnly]
    private static void Destroy(nint kernel)
    {
        GCHandle handle = GCHandle.FromIntPtr(kernel);
        (handle.Target as GatedMlp)?._run.Dispose();
        handle.Free();
    }

    [UnmanagedCallersOnly]
    private static nint Create(CustomOp* op, nint api, nint info, nint* kernel)
    {
        try
        {
            nint status = OrtApi.GetText(info, "activation\0"u8, out string? text);
            if (status != 0)
            {
                return status;
            }

            Activation activation = ActivationKernels.Find(text);
            if (activation == Activation.None)
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: there is no activation '{text}'");
            }

            _ = KernelWarmUp.Begin(activation);
            long weights = 0;
            status = OrtApi.GetInt(info, "weights\0"u8, &weights);
            var products = new IMatMulRun?[3];
            byte*[] tiles = new byte*[3];
            var packed = new PackedInput[3];
            for (int i = 0; i < Math.Min(3, weights) && status == 0; i++)
            {
                status = PackedInput.Read(info, (nuint)i + 1, Name, out packed[i]);
                if (status == 0)
                {
                    products[i] = PackedMatMul.Open(packed[i].Data, packed[i].LengthBytes, "f32", out long offset);
                    tiles[i] = packed[i].Data + offset;
                    status = products[i] is null ? OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: a weight of {packed[i].LengthBytes} bytes that no kernel reads") : 0;
                }
            }

            if (status == 0 && (products[0] is not IMatMulRun gate || products[1] is not IMatMulRun up || !GatedMlpRun.Fits(gate, up, products[2])))
            {
                status = OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: the weights do not fit each other");
            }

            if (status != 0)
            {
                foreach (IMatMulRun? product in products)
                {
                    product?.Dispose();
                }

                return status;
            }

            var resident = new ResidentWeight[3];
            for (int i = 0; i < 3 && packed[i].Data != null; i++)
            {
                resident[i] = new ResidentWeight(packed[i]);
            }

            *kernel = new GatedMlp(new GatedMlpRun(products[0]!, products[1]!, products[2], activation, KernelTiers.Current), tiles, resident)._self;
            return 0;
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"{Name}: {e.Message}");
        }
    }

    [UnmanagedCallersOnly]
    private static nint Compute(nint kernel, nint context)
    {
        try
        {
            return ((GatedMlp)GCHandle.FromIntPtr(kernel).Target!).Compute(context);
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"{Name}: {e.Message}");
        }
    }

    private nint Compute(nint context)
    {
        long* dims = stackalloc long[PackedMatMul.MaxRank];
        nint x = 0;
        nuint rank = 0;
        long elements = 0;
        nint status = OrtApi.GetInput(context, 0, &x);
        status = status != 0 ? status : PackedMatMul.Shape(x, dims, &rank, &elements);
        if (status != 0)
        {
            return status;
        }

        if (rank == 0 || dims[rank - 1] != _run.Inputs)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: the last dimension of the activations is not {_run.Inputs}");
        }

        dims[rank - 1] = _run.Outputs;
        nint y = 0;
        float* from = null;
        float* to = null;
        status = OrtApi.GetOutput(context, 0, dims, rank, &y);
        status = status != 0 ? status : OrtApi.GetData(x, (void**)&from);
        status = status != 0 ? status : OrtApi.GetData(y, (void**)&to);
        long rows = elements / _run.Inputs;
        for (long first = 0; first < rows && status == 0; first += MatMulRun.MaxRows)
        {
            int some = (int)Math.Min(MatMulRun.MaxRows, rows - first);
            status = Multiply(context, from + (first * _run.Inputs), some, to + (first * _run.Outputs));
        }

        return status;
    }

    private nint Multiply(nint context, float* x, int rows, float* y)
    {
        byte* scratch = (byte*)ThreadScratch.Get(ScratchUse.Activations, _run.ScratchBytes(rows));
        _weights[0].Use();
        _weights[1].Use();
        var job = new Job { Kernel = _self, Scratch = scratch, Rows = rows, Y = y, Parts = _run.HiddenParts(rows), Caller = Environment.CurrentManagedThreadId, WasShared = _isShared };
        _run.Prepare(x, rows, scratch, job.WasShared);
        nint status = InPieces(context, &job, _run.HiddenMultiplications * rows);
        _isShared = job.IsShared;
        if (status != 0 || _run.DownParts == 0)
        {
            return status;
        }

        _run.Finish(scratch, rows, job.WasShared);
        _weights[2].Use();
        job.IsDown = true;
        job.Parts = _run.DownParts;
        return InPieces(context, &job, _run.DownMultiplications * rows);
    }

    private nint InPieces(nint context, Job* job, double work)
    {
        job->Pieces = WorkSplit.Pieces(job->Parts, work, Environment.ProcessorCount);
        if (job->Pieces == 1)
        {
            Work(job, 0, job->Parts);
            return 0;
        }

        return OrtApi.ParallelFor(context, &Piece, (nuint)job->Pieces, job);
    }

    private void Work(Job* job, int first, int count)
    {
        if (job->IsDown)
        {
            _run.Down(_tiles[2], job->Scratch, job->Rows, first, count, job->Y);
        }
        else
        {
            _run.Hidden(_tiles[0], _tiles[1], job->Scratch, job->Rows, first, count, job->Y, job->WasShared);
        }

        if (Environment.CurrentManagedThreadId != job->Caller)
        {
            job->IsShared = true;
        }
    }

    [UnmanagedCallersOnly]
    private static void Piece(void* data, nuint index)
    {
        var job = (Job*)data;
        int first = (int)WorkSplit.Begin(job->Parts, (long)index, job->Pieces);
        int end = (int)WorkSplit.Begin(job->Parts, (long)index + 1, job->Pieces);
        ((GatedMlp)GCHandle.FromIntPtr(job->Kernel).Target!).Work(job, first, end - first);
    }

    /// <summary>What the threads of one run share.</summary>
    private struct Job
    {
        public nint Kernel;
        public byte* Scratch;
        public int Rows;
        public bool IsDown;
        public int Parts;
        public int Pieces;
        public float* Y;
        public int Caller;
        public bool WasShared;
        public bool IsShared;
    }
}
