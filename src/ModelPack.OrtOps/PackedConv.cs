using System.Runtime.InteropServices;
using ModelPack.Kernels;
using ModelPack.Kernels.Convolution;
using ModelPack.Kernels.MatMul;

namespace ModelPack.OrtOps;

/// <summary>
/// The operator <c>ai.modelpack::PackedConv</c>: Conv of ONNX in one group, with W [O, C * kernel_h * kernel_w] in a number format and in execution layout, never expanded. Inputs: x f32 [N, C, H, W] or [N, C, W],
/// W u8 [bytes] (a constant, see <see cref="PackedMatrix"/>), optionally bias f32 [O]. Attributes: <c>N</c> (channels of the output), <c>arithmetic</c> and <c>activation</c> (as of PackedMatMul), and of both directions (ending in <c>_h</c> and
/// <c>_w</c>) <c>kernel</c>, <c>stride</c>, <c>dilation</c>, <c>pad</c> and <c>pad_end</c>.
/// </summary>
internal sealed unsafe class PackedConv
{
    private const string Name = "PackedConv";

    /// <summary>About how long gathering a block takes, of the time that multiplying it takes.</summary>
    private const double GatherShare = 0.4;

    private static byte* s_name;

    private readonly ConvolutionRun _run;

    /// <summary>The tiles: constant, so ONNX Runtime neither moves nor frees them before the kernel.</summary>
    private readonly byte* _tiles;

    private readonly double _multiplicationsPerPlace;

    private readonly ResidentWeight _weight;

    /// <summary>Handle of this object, by which threads without references find it.</summary>
    private readonly nint _self;

    private PackedConv(ConvolutionRun run, double multiplicationsPerPlace, in PackedInput weight, long offset)
    {
        _run = run;
        _multiplicationsPerPlace = multiplicationsPerPlace;
        _tiles = weight.Data + offset;
        _weight = new ResidentWeight(weight);
        _self = GCHandle.ToIntPtr(GCHandle.Alloc(this));
    }

    /// <summary>Fills in the callbacks.</summary>
    /// <param name="name">Name of the operator, zero-terminated, living as long as the process.</param>
    /// <param name="product">PackedMatMul, which has the same inputs and outputs.</param>
    public static CustomOp Describe(byte* name, in CustomOp product)
    {
        s_name = name;
        CustomOp op = product;
        op.GetName = &GetName;
        op.KernelDestroy = &Destroy;
        op.CreateKernelV2 = &Create;
        op.KernelComputeV2 = &Compute;
        op.InferOutputShape = &InferShape;
        return op;
    }

    [UnmanagedCallersOnly]
    private static byte* GetName(CustomOp* op) => s_name;

    [UnmanagedCallersOnly]
    private static void Destroy(nint kernel)
    {
        GCHandle handle = GCHandle.FromIntPtr(kernel);
        (handle.Target as PackedConv)?._run.Dispose();
        handle.Free();
    }

    [UnmanagedCallersOnly]
    private static nint Create(CustomOp* op, nint api, nint info, nint* kernel)
    {
        try
        {
            ConvolutionWindow window = default;
            Activation activation = default;
            PackedInput input = default;
            nint status = OrtApi.GetText(info, "arithmetic\0"u8, out string? arithmetic);
            status = status != 0 ? status : ReadWindow(info, &OrtApi.GetInt, out window);
            status = status != 0 ? status : PackedMatMul.ReadActivation(info, Name, out activation);
            status = status != 0 ? status : PackedInput.Read(info, 1, Name, out input);
            if (status != 0)
            {
                return status;
            }

            IMatMulRun? product = PackedMatMul.Open(input.Data, input.LengthBytes, arithmetic, out long offset);
            if (product is null)
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: a weight of {input.LengthBytes} bytes that no kernel reads with arithmetic {arithmetic}");
            }

            _ = KernelWarmUp.BeginConvolution(arithmetic);
            *kernel = new PackedConv(new ConvolutionRun(product, window, activation, KernelTiers.Current), product.MultiplicationsPerRow, input, offset)._self;
            return 0;
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"{Name}: {e.Message}");
        }
    }

    /// <summary>The attributes of both directions.</summary>
    /// <param name="from">OrtKernelInfo or OrtShapeInferContext.</param>
    /// <param name="get">Reads an integer of it.</param>
    /// <param name="window">What they say; sizes that are impossible stay so.</param>
    private static nint ReadWindow(nint from, delegate*<nint, ReadOnlySpan<byte>, long*, nint> get, out ConvolutionWindow window)
    {
        int* sizes = stackalloc int[10];
        nint status = ReadSize(from, get, "kernel_h\0"u8, sizes, 0);
        status = ReadSize(from, get, "stride_h\0"u8, sizes + 1, status);
        status = ReadSize(from, get, "dilation_h\0"u8, sizes + 2, status);
        status = ReadSize(from, get, "pad_h\0"u8, sizes + 3, status);
        status = ReadSize(from, get, "pad_end_h\0"u8, sizes + 4, status);
        status = ReadSize(from, get, "kernel_w\0"u8, sizes + 5, status);
        status = ReadSize(from, get, "stride_w\0"u8, sizes + 6, status);
        status = ReadSize(from, get, "dilation_w\0"u8, sizes + 7, status);
        status = ReadSize(from, get, "pad_w\0"u8, sizes + 8, status);
        status = ReadSize(from, get, "pad_end_w\0"u8, sizes + 9, status);
        window = new ConvolutionWindow(new ConvolutionAxis(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]), new ConvolutionAxis(sizes[5], sizes[6], sizes[7], sizes[8], sizes[9]));
        return status;
    }

    /// <summary>What does not fit an int is no possible size either.</summary>
    private static nint ReadSize(nint from, delegate*<nint, ReadOnlySpan<byte>, long*, nint> get, ReadOnlySpan<byte> name, int* size, nint status)
    {
        long value = 0;
        status = status != 0 ? status : get(from, name, &value);
        *size = (int)Math.Clamp(value, -1, int.MaxValue);
        return status;
    }

    /// <summary>Sizes that are known; where one is not and has no name that stays, nothing is said, so that what the model says of the output stays.</summary>
    [UnmanagedCallersOnly]
    private static nint InferShape(CustomOp* op, nint context)
    {
        long n = 0;
        nint input = 0;
        nuint rank = 0;
        ConvolutionWindow window = default;
        nint status = OrtApi.GetInferredInt(context, "N\0"u8, &n);
        status = status != 0 ? status : ReadWindow(context, &OrtApi.GetInferredInt, out window);
        status = status != 0 ? status : OrtApi.GetInferredInput(context, 0, &input);
        status = status != 0 ? status : OrtApi.GetRank(input, &rank);
        if (status != 0 || rank is not (3 or 4) || !window.Vertical.IsPossible || !window.Horizontal.IsPossible)
        {
            return status;
        }

        long* dims = stackalloc long[4];
        byte** symbols = stackalloc byte*[4];
        byte none = 0;
        status = OrtApi.GetDimensions(input, dims, rank);
        status = status != 0 ? status : OrtApi.GetSymbols(input, symbols, rank);
        for (nuint i = 0; i < rank && status == 0; i++)
        {
            ConvolutionAxis axis = i + 1 == rank ? window.Horizontal : window.Vertical;
            bool stays = i == 0 || (i > 1 && axis.IsPointwise);
            if (i == 1)
            {
                dims[i] = n;
                symbols[i] = &none;
            }
            else if (dims[i] < 0 && (!stays || *symbols[i] == 0))
            {
                return 0;
            }
            else if (i > 1 && dims[i] >= 0)
            {
                dims[i] = axis.Outputs(dims[i]);
            }
        }

        return status != 0 ? status : OrtApi.SetInferredShape(context, dims, symbols, rank);
    }

    [UnmanagedCallersOnly]
    private static nint Compute(nint kernel, nint context)
    {
        try
        {
            return ((PackedConv)GCHandle.FromIntPtr(kernel).Target!).Compute(context);
        }
        catch (Exception e)
        {
            return OrtApi.Error(OrtApi.Fail, $"{Name}: {e.Message}");
        }
    }

    private nint Compute(nint context)
    {
        long* dims = stackalloc long[PackedMatMul.MaxRank];
        nuint count = 0;
        nint x = 0;
        nint bias = 0;
        nuint rank = 0;
        long elements = 0;
        nint status = OrtApi.GetInputCount(context, &count);
        status = status != 0 ? status : OrtApi.GetInput(context, 0, &x);
        status = status != 0 || count < 3 ? status : OrtApi.GetInput(context, 2, &bias);
        if (status == 0 && bias != 0)
        {
            status = PackedMatMul.Shape(bias, dims, &rank, &elements);
            if (status == 0 && elements != _run.Outputs)
            {
                return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: the bias has {elements} values, not {_run.Outputs}");
            }
        }

        status = status != 0 ? status : PackedMatMul.Shape(x, dims, &rank, &elements);
        if (status != 0)
        {
            return status;
        }

        if (rank is not (3 or 4) || dims[1] != _run.Channels || (rank == 3 && _run.Window.Vertical.Taps != 1))
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: the input is not [N, {_run.Channels}, H, W]{(_run.Window.Vertical.Taps == 1 ? " or without H" : "")}");
        }

        var job = new Job { Kernel = _self, Height = rank == 4 ? dims[2] : 1, Width = dims[rank - 1], Tiles = _tiles };
        if (job.Height > int.MaxValue || job.Width > int.MaxValue)
        {
            return OrtApi.Error(OrtApi.InvalidArgument, $"{Name}: an image of {job.Height} times {job.Width} places");
        }

        long images = dims[0];
        dims[1] = _run.Outputs;
        dims[rank - 1] = _run.Window.Horizontal.Outputs(job.Width);
        if (rank == 4)
        {
            dims[2] = _run.Window.Vertical.Outputs(job.Height);
        }

        job.Places = dims[rank - 1] * (rank == 4 ? dims[2] : 1);
        nint y = 0;
        status = OrtApi.GetOutput(context, 0, dims, rank, &y);
        status = status != 0 ? status : OrtApi.GetData(x, (void**)&job.X);
        status = status != 0 ? status : OrtApi.GetData(y, (void**)&job.Y);
        status = status != 0 || bias == 0 ? status : OrtApi.GetData(bias, (void**)&job.Bias);
        _weight.Use();
        return status != 0 || images * job.Places == 0 ? status : Multiply(context, images, job);
    }

    private nint Multiply(nint context, long images, Job job)
    {
        job.Blocks = _run.Blocks((int)job.Height, (int)job.Width);
        long all = images * job.Blocks;
        double work = _multiplicationsPerPlace * images * job.Places;
        int threads = work < WorkSplit.LeastWork ? 1 : (int)Math.Min(work / WorkSplit.PieceWork, Environment.ProcessorCount);
        job.Shares = Shares(all, threads);
        job.All = all * job.Shares;
        job.Pieces = WorkSplit.Pieces(job.All, work, threads);
        if (job.Pieces == 1)
        {
            Run(job, 0, job.All);
            return 0;
        }

        return OrtApi.ParallelFor(context, &Piece, (nuint)job.Pieces, &job);
    }

    /// <summary>In how many shares a block is done: threads gather a block again for each share, which is worth it only where there are too few blocks to keep them all busy.</summary>
    private int Shares(long blocks, int threads)
    {
        int best = 1;
        double least = double.MaxValue;
        for (int shares = 1; shares <= Math.Min(threads, _run.Parts); shares++)
        {
            double time = ((blocks * shares) + threads - 1) / threads * ((1.0 / shares) + GatherShare);
            if (time < least)
            {
                least = time;
                best = shares;
            }
        }

        return best;
    }

    private void Run(in Job job, long first, long end)
    {
        for (long i = first; i < end; i++)
        {
            long block = i / job.Shares;
            long share = i - (block * job.Shares);
            int part = Part(share, job.Shares);
            int parts = Part(share + 1, job.Shares) - part;
            long image = block / job.Blocks;
            _run.Run(
                job.Tiles,
                job.X + (image * _run.Channels * job.Height * job.Width),
                (int)job.Height,
                (int)job.Width,
                block - (image * job.Blocks),
                part,
                parts,
                job.Bias,
                job.Y + (image * _run.Outputs * job.Places));
        }
    }

    /// <summary>The first part of a share.</summary>
    private int Part(long share, int shares)
    {
        int groups = (_run.Parts + _run.PartsTogether - 1) / _run.PartsTogether;
        return Math.Min(_run.PartsTogether * (int)(groups * share / shares), _run.Parts);
    }

    [UnmanagedCallersOnly]
    private static void Piece(void* data, nuint index)
    {
        var job = (Job*)data;
        ((PackedConv)GCHandle.FromIntPtr(job->Kernel).Target!).Run(*job, WorkSplit.Begin(job->All, (long)index, job->Pieces), WorkSplit.Begin(job->All, (long)index + 1, job->Pieces));
    }

    /// <summary>What the threads of one convolution share.</summary>
    private struct Job
    {
        public nint Kernel;
        public byte* Tiles;
        public float* X;
        public float* Bias;
        public float* Y;
        public long Height;
        public long Width;

        /// <summary>Places of the output.</summary>
        public long Places;

        /// <summary>Blocks of places of an image.</summary>
        public long Blocks;

        /// <summary>Ranges of the weight's parts that every block is cut into.</summary>
        public int Shares;

        /// <summary>Blocks of all images, each in so many shares.</summary>
        public long All;

        public long Pieces;
    }
}
