using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// The operator <c>ai.modelpack::Experts</c>: y[t] = sum over e of shares[t, e] (f(x[t] G_e^T) * (x[t] U_e^T)) D_e^T, of which only experts whose share is not 0 are computed. Inputs: x f32 [..., K], shares f32 [..., at least E], then G, U and D of
/// every expert, u8 [bytes], constants as for <see cref="PackedMatMul"/>. Attributes: <c>N</c> (columns of the output), <c>experts</c> (E), <c>activation</c> (<c>relu</c>, <c>silu</c>, <c>gelu</c>, <c>gelu_tanh</c>), <c>arithmetic</c> (as of PackedMatMul: one for all
/// weights, or one for each, with commas between).
/// </summary>
internal sealed unsafe class Experts
{
    private const string Name = "Experts";

    private const int FirstWeight = 2;

    /// <summary>Weights of an expert.</summary>
    private const int Weights = 3;

    /// <summary>Bytes of intermediate results of several batches of rows.</summary>
    private const long MostBytes = 4 << 20;

    /// <summary>What bringing a number into another form takes, in multiplications.</summary>
    private const double Moving = 16;

    private static byte* s_name;

    private readonly ExpertsRun _run;

    /// <summary>Of G, U and D of every expert.</summary>
    private readonly nint* _tiles;

    /// <summary>The same weights.</summary>
    private readonly ResidentWeight[] _weights;

    /// <summary>Weights pass through a window: one expert at a time.</summary>
    private readonly bool _isWindowed;

    /// <summary>Handle of this object, by which threads without references find it.</summary>
    private readonly nint _self;

    /// <summary>Whether other threads had pieces of the last run.</summary>
    private bool _isShared;

    private Experts(ExpertsRun run, PackedInput[] inputs, long[] offsets)
    {
        _run = run;
        _tiles = (nint*)NativeMemory.Alloc((nuint)inputs.Length, (nuint)sizeof(nint));
        _isWindowed = ResidentWindow.Current is not null;
        _weights = new ResidentWeight[inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            _tiles[i] = (nint)(inputs[i].Data + offsets[i]);
            _weights[i] = new ResidentWeight(inputs[i]);
        }

        _self = GCHandle.ToIntPtr(GCHandle.Alloc(this));
    }

    private enum Phase
    {
        Prepare,
        Hidden,
        Finish,
        Down,
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
            GetInputTypeCount = &PackedMatMul.GetThree,
            GetOutputType = &PackedMatMul.GetFloat,
            GetOutputTypeCount = &PackedMatMul.GetOne,
            KernelDestroy = &Destroy,
            GetInputCharacteristic = &GetInputCharacteristic,
            GetOutputCharacteristic = &PackedMatMul.GetZeroOf,
            GetInputMemoryType = &PackedMatMul.GetZeroOf,
            GetVariadicInputMinArity = &GetOne,
            GetVariadicInputHomogeneity = &GetOne,
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
    private static int GetInputType(CustomOp* op, nuint index) => index < FirstWeight ? OrtApi.Float : OrtApi.UInt8;

    [UnmanagedCallersOnly]
    private static int GetOne(CustomOp* op) => 1;

    /// <summary>Any number of weights.</summary>
    [UnmanagedCallersOnly]
    private static int GetInputCharacteristic(CustomOp* op, nuint index)
    {
        const int variadic = 2;
        return index == FirstWeight ? variadic : 0;
    }

    [UnmanagedCallersOnly]
    private static void Destroy(nint kernel)
    {
        GCHandle handle = GCHandle.FromIntPtr(kernel);
        if (handle.Target is Experts experts)
        {
            experts._run.Dispose();
            NativeMemory.Free(experts._tiles);
        }

        handle.Free();
    }

    [UnmanagedCallersOnly]
    private static nint Create(CustomOp* op, nint api, nint info, nint* kernel)
    {
        try
        {
            string? arithmetic = null;
            long experts = 0;
            nint status = OrtApi.GetText(info, "activation\0"u8, out string? text);
            status = status != 0 ? status : OrtApi.GetText(info, "arithmetic\0"u8, out arithmetic);
            status = status != 0 ? status : OrtApi.GetInt(info, "experts\0"u8, &experts);
            if (status != 0)
            {
                return status;
            }

            Activation activation = ActivationKernels.Find(text);
            string[] arithmetics = arithmetic!.Split(',');
            if (activation == Activation.None || experts is <= 0 or > int.MaxValue / Weights || (arithmetics.Length != 1 && arithmetics.Length != Weights * experts))
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: there are no {experts} experts with activation '{text}' and {arithmetics.Length} arithmetics");
            }

            _ = KernelWarmUp.Begin(activation);
            return Create(info, activation, arithmetics, (int)experts, kernel);
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"{Name}: {e.Message}");
        }
    }

    private static nint Create(nint info, Activation activation, string[] arithmetics, int experts, nint* kernel)
    {
        var inputs = new PackedInput[Weights * experts];
        long[] offsets = new long[inputs.Length];
        var products = new IMatMulRun?[inputs.Length];
        nint status = 0;
        for (int i = 0; i < inputs.Length && status == 0; i++)
        {
            status = PackedInput.Read(info, (nuint)(FirstWeight + i), Name, out inputs[i]);
            if (status == 0)
            {
                products[i] = PackedMatMul.Open(inputs[i].Data, inputs[i].LengthBytes, arithmetics[i % arithmetics.Length], out offsets[i]);
                status = products[i] is null ? OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: a weight of {inputs[i].LengthBytes} bytes that no kernel reads with arithmetic {arithmetics[i % arithmetics.Length]}") : 0;
            }
        }

        if (status == 0)
        {
            GatedMlpRun[] runs = [.. products.Chunk(Weights).Where(p => GatedMlpRun.Fits(p[0]!, p[1]!, p[2])).Select(p => new GatedMlpRun(p[0]!, p[1]!, p[2], activation, KernelTiers.Current))];
            if (runs.Length == experts && ExpertsRun.Fits(runs))
            {
                *kernel = new Experts(new ExpertsRun(runs), inputs, offsets)._self;
                return 0;
            }

            status = OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: the weights do not fit each other");
        }

        foreach (IMatMulRun? product in products)
        {
            product?.Dispose();
        }

        return status;
    }

    [UnmanagedCallersOnly]
    private static nint Compute(nint kernel, nint context)
    {
        try
        {
            return ((Experts)GCHandle.FromIntPtr(kernel).Target!).Compute(context);
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
        nint shares = 0;
        nuint rank = 0;
        long choices = 0;
        long elements = 0;
        nint status = OrtApi.GetInput(context, 0, &x);
        status = status != 0 ? status : OrtApi.GetInput(context, 1, &shares);
        status = status != 0 ? status : PackedMatMul.Shape(shares, dims, &rank, &choices);
        long columns = status != 0 || rank == 0 ? 0 : dims[rank - 1];
        status = status != 0 ? status : PackedMatMul.Shape(x, dims, &rank, &elements);
        if (status != 0)
        {
            return status;
        }

        if (columns < _run.Count || rank == 0 || dims[rank - 1] != _run.Inputs || elements / _run.Inputs != choices / columns || elements / _run.Inputs > int.MaxValue)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: activations and shares are not rows of {_run.Inputs} and {_run.Count} values");
        }

        dims[rank - 1] = _run.Outputs;
        nint y = 0;
        float* from = null;
        float* counts = null;
        float* to = null;
        status = OrtApi.GetOutput(context, 0, dims, rank, &y);
        status = status != 0 ? status : OrtApi.GetData(x, (void**)&from);
        status = status != 0 ? status : OrtApi.GetData(shares, (void**)&counts);
        status = status != 0 ? status : OrtApi.GetData(y, (void**)&to);
        return status != 0 ? status : Compute(context, from, counts, columns, (int)(elements / _run.Inputs), to);
    }

    private nint Compute(nint context, float* x, float* shares, long columns, int rows, float* y)
    {
        NativeMemory.Clear(y, (nuint)rows * (nuint)_run.Outputs * sizeof(float));
        long chosen = _run.Chosen(shares, columns, rows);
        void* memory = ThreadScratch.Get(ScratchUse.Places, _run.GroupBytes(chosen));
        int count = _run.Group(shares, columns, rows, chosen, memory);
        nint status = 0;
        for (int first = 0; first < count && status == 0;)
        {
            var batches = (ExpertBatch*)memory + first;
            int some = _run.Place(batches, _isWindowed ? 1 : count - first, MostBytes, out long bytes);
            ExpertsRun.Locate(batches, some, (byte*)ThreadScratch.Get(ScratchUse.Activations, bytes));
            status = Add(context, batches, some, x, y);
            first += some;
        }

        return status;
    }

    /// <summary>Adds what some batches give.</summary>
    private nint Add(nint context, ExpertBatch* batches, int count, float* x, float* y)
    {
        double rows = 0;
        for (int i = 0; i < count; i++)
        {
            rows += batches[i].Rows;
            _weights[Weights * batches[i].Expert].Use();
            _weights[(Weights * batches[i].Expert) + 1].Use();
        }

        double hidden = _run.HiddenMultiplications(batches, count);
        double down = _run.DownMultiplications(batches, count);
        var job = new Job { Kernel = _self, Batches = batches, Count = count, X = x, Y = y, Caller = Environment.CurrentManagedThreadId, WasShared = _isShared };
        nint status = InPieces(context, &job, Phase.Prepare, count, Moving * rows * _run.Inputs);
        status = status != 0 ? status : InPieces(context, &job, Phase.Hidden, _run.HiddenParts(batches, count), hidden);
        status = status != 0 ? status : InPieces(context, &job, Phase.Finish, count, Moving * down / _run.Outputs);
        for (int i = 0; i < count; i++)
        {
            _weights[(Weights * batches[i].Expert) + 2].Use();
        }

        status = status != 0 ? status : InPieces(context, &job, Phase.Down, _run.DownParts(batches, count), down);
        _isShared = job.IsShared;
        return status;
    }

    private nint InPieces(nint context, Job* job, Phase phase, int parts, double work)
    {
        job->Phase = phase;
        job->Parts = parts;
        job->Pieces = WorkSplit.Pieces(parts, work, Environment.ProcessorCount);
        if (job->Pieces <= 1)
        {
            Work(job, 0, parts);
            return 0;
        }

        return OrtApi.ParallelFor(context, &Piece, (nuint)job->Pieces, job);
    }

    private void Work(Job* job, int first, int count)
    {
        switch (job->Phase)
        {
            case Phase.Prepare:
                for (int i = first; i < first + count; i++)
                {
                    _run.Prepare(job->Batches + i, job->X, job->WasShared);
                }

                break;
            case Phase.Hidden:
                _run.Hidden(job->Batches, job->Count, _tiles, first, count, job->WasShared);
                break;
            case Phase.Finish:
                for (int i = first; i < first + count; i++)
                {
                    _run.Finish(job->Batches + i, job->WasShared);
                }

                break;
            default:
                _run.Down(job->Batches, job->Count, _tiles, first, count, job->Y);
                break;
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
        ((Experts)GCHandle.FromIntPtr(job->Kernel).Target!).Work(job, first, end - first);
    }

    /// <summary>What the threads of one run share.</summary>
    private struct Job
    {
        public nint Kernel;
        public ExpertBatch* Batches;
        public int Count;
        public float* X;
        public float* Y;
        public Phase Phase;
        public int Parts;
        public int Pieces;
        public int Caller;
        public bool WasShared;
        public bool IsShared;
    }
}
