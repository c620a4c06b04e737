using System.Globalization;
using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// The operator <c>ai.modelpack::ContextualMlp</c>: a = f(g), y = (a * (x U^T) where |a| > threshold, else 0) D. Inputs: x f32 [..., K], g f32 [..., H], U and D u8 [bytes], constants, see <see cref="NeuronMatrix"/>.
/// Attributes: <c>N</c> (columns of the output), <c>activation</c> (<c>relu</c>, <c>silu</c>, <c>gelu</c>, <c>gelu_tanh</c>), <c>threshold</c> (a decimal number as text).
/// </summary>
internal sealed unsafe class ContextualMlp
{
    private const string Name = "ContextualMlp";

    private static byte* s_name;

    private readonly ContextualMlpRun _run;
    private readonly byte* _up;
    private readonly byte* _down;

    private readonly ResidentWeight _upWeight;
    private readonly ResidentWeight _downWeight;

    /// <summary>Handle of this object, by which threads without references find it.</summary>
    private readonly nint _self;

    private ContextualMlp(ContextualMlpRun run, PackedInput up, PackedInput down)
    {
        _run = run;
        _up = up.Data + NeuronMatrix.HeaderBytes;
        _down = down.Data + NeuronMatrix.HeaderBytes;
        _upWeight = new ResidentWeight(up);
        _downWeight = new ResidentWeight(down);
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
            GetInputCharacteristic = &PackedMatMul.GetZeroOf,
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
    private static int GetInputType(CustomOp* op, nuint index) => index < 2 ? OrtApi.Float : OrtApi.UInt8;

    [UnmanagedCallersOnly]
    private static nuint GetFour(CustomOp* op) => 4;

    [UnmanagedCallersOnly]
    private static void Destroy(nint kernel) => GCHandle.FromIntPtr(kernel).Free();

    [UnmanagedCallersOnly]
    private static nint Create(CustomOp* op, nint api, nint info, nint* kernel)
    {
        try
        {
            string? text = null;
            nint status = OrtApi.GetText(info, "activation\0"u8, out string? name);
            status = status != 0 ? status : OrtApi.GetText(info, "threshold\0"u8, out text);
            PackedInput up = default;
            PackedInput down = default;
            status = status != 0 ? status : PackedInput.Read(info, 2, Name, out up);
            status = status != 0 ? status : PackedInput.Read(info, 3, Name, out down);
            if (status != 0)
            {
                return status;
            }

            Activation activation = ActivationKernels.Find(name);
            if (activation == Activation.None || !float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float threshold) || !(threshold >= 0))
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: there is no activation '{name}' with threshold '{text}'");
            }

            if (NeuronMatrix.Read(up.Data, up.LengthBytes) is not NeuronMatrix u || NeuronMatrix.Read(down.Data, down.LengthBytes) is not NeuronMatrix d || !ContextualMlpRun.Fits(u, d))
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: weights of {up.LengthBytes} and {down.LengthBytes} bytes that no kernel reads or that do not fit each other");
            }

            *kernel = new ContextualMlp(new ContextualMlpRun(u, d, activation, threshold, KernelTiers.Current), up, down)._self;
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
            return ((ContextualMlp)GCHandle.FromIntPtr(kernel).Target!).Compute(context);
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
        nint g = 0;
        nuint rank = 0;
        long gates = 0;
        long elements = 0;
        nint status = OrtApi.GetInput(context, 0, &x);
        status = status != 0 ? status : OrtApi.GetInput(context, 1, &g);
        status = status != 0 ? status : PackedMatMul.Shape(g, dims, &rank, &gates);
        bool fits = status != 0 || (rank > 0 && dims[rank - 1] == _run.HiddenSize);
        status = status != 0 ? status : PackedMatMul.Shape(x, dims, &rank, &elements);
        if (status != 0)
        {
            return status;
        }

        if (!fits || rank == 0 || dims[rank - 1] != _run.Inputs || elements / _run.Inputs != gates / _run.HiddenSize)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: activations are not rows of {_run.Inputs} and {_run.HiddenSize} values");
        }

        dims[rank - 1] = _run.Outputs;
        nint y = 0;
        float* input = null;
        float* gate = null;
        float* output = null;
        status = OrtApi.GetOutput(context, 0, dims, rank, &y);
        status = status != 0 ? status : OrtApi.GetData(x, (void**)&input);
        status = status != 0 ? status : OrtApi.GetData(g, (void**)&gate);
        status = status != 0 ? status : OrtApi.GetData(y, (void**)&output);
        long rows = elements / _run.Inputs;
        for (long first = 0; first < rows && status == 0; first += ContextualMlpRun.MaxRows)
        {
            int some = (int)Math.Min(ContextualMlpRun.MaxRows, rows - first);
            status = Rows(context, input + (first * _run.Inputs), gate + (first * _run.HiddenSize), some, output + (first * _run.Outputs));
        }

        return status;
    }

    private nint Rows(nint context, float* x, float* g, int rows, float* y)
    {
        byte* scratch = (byte*)ThreadScratch.Get(ScratchUse.Activations, _run.ScratchBytes(rows));
        var job = new Job { Kernel = _self, X = x, G = g, Rows = rows, Scratch = scratch, Y = y, Neurons = -1, Parts = _run.HiddenParts };
        _upWeight.Use();
        nint status = InPieces(context, &job, rows * _run.HiddenSize * (long)_run.Inputs / 2);
        if (status != 0)
        {
            return status;
        }

        _downWeight.Use();
        job.Neurons = _run.Gather(rows, scratch);
        job.Parts = _run.DownParts;
        return InPieces(context, &job, rows * job.Neurons * (long)_run.Outputs);
    }

    private nint InPieces(nint context, Job* job, long work)
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
        if (job->Neurons < 0)
        {
            _run.Hidden(_up, job->X, job->G, job->Rows, job->Scratch, first, count);
        }
        else
        {
            _run.Down(_down, job->Rows, job->Scratch, job->Neurons, first, count, job->Y);
        }
    }

    [UnmanagedCallersOnly]
    private static void Piece(void* data, nuint index)
    {
        var job = (Job*)data;
        int first = (int)WorkSplit.Begin(job->Parts, (long)index, job->Pieces);
        int end = (int)WorkSplit.Begin(job->Parts, (long)index + 1, job->Pieces);
        ((ContextualMlp)GCHandle.FromIntPtr(job->Kernel).Target!).Work(job, first, end - first);
    }

    /// <summary>What the threads of some rows share.</summary>
    private struct Job
    {
        public nint Kernel;
        public float* X;
        public float* G;
        public int Rows;
        public byte* Scratch;
        public float* Y;

        /// <summary>Neurons that count; below 0 until they are known.</summary>
        public int Neurons;

        public int Parts;
        public int Pieces;
    }
}
