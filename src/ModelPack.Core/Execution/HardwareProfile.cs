namespace ModelPack;

/// <summary>What is known of a machine: what it has, how fast it is, and how long its kernels take. Measured by <c>modelpack profile</c>, or from data sheets.</summary>
public sealed record HardwareProfile
{
    /// <summary>Name by which plans remember it.</summary>
    public required string Name { get; init; }

    /// <summary>Where the numbers come from: a measurement with its date, or a data sheet.</summary>
    public required string Source { get; init; }

    /// <summary><c>cpu</c>, <c>gpu</c> or <c>accelerator</c>.</summary>
    public required string Kind { get; init; }

    /// <summary>Instruction sets that matter to kernels.</summary>
    public IReadOnlyList<string> Isa { get; init; } = [];

    /// <summary>Cores (multiprocessors of a GPU) that work on one product.</summary>
    public required int Cores { get; init; }

    /// <summary>Memory, nearest first; the last level holds the model.</summary>
    public required IReadOnlyList<MemoryLevel> Memory { get; init; }

    /// <summary>10^9 floating-point (or integer) operations per second of all cores, by element type; a multiplication and an addition are two.</summary>
    public required IReadOnlyDictionary<string, double> Gflops { get; init; }

    /// <summary>Microseconds that a node costs before it computes anything.</summary>
    public double LaunchMicroseconds { get; init; }

    /// <summary>Milliseconds that opening an artifact takes beside its weights, in a process that opened one before; 0 when unknown.</summary>
    public double OpenMilliseconds { get; init; }

    /// <summary>Microseconds that each node of the model adds to opening it; 0 when unknown.</summary>
    public double OpenNodeMicroseconds { get; init; }

    /// <summary>10^9 bytes per second of weights, as kernels read them, that opening an artifact makes of what it stores (int4, entropy-coded, all cores); 0 when unknown.</summary>
    public double LoadGbps { get; init; }

    /// <summary>Watts under load; 0 when unknown.</summary>
    public double Watts { get; init; }

    /// <summary>Measured kernels; none in profiles from data sheets.</summary>
    public IReadOnlyList<KernelConstant> Kernels { get; init; } = [];

    /// <summary>Gated perceptrons of block-sparse weights, as one operator beside their products; none where they were not measured.</summary>
    public IReadOnlyList<GatedMlpConstant> GatedMlps { get; init; } = [];

    /// <summary>Convolutions; none where they were not measured.</summary>
    public IReadOnlyList<ConvolutionConstant> Convolutions { get; init; } = [];

    /// <summary>Bytes per second of the last level, all cores.</summary>
    public double MemoryGbps => Memory.Count == 0 ? 0 : Memory[^1].GbpsAll;
}

/// <summary>A level of memory.</summary>
/// <param name="Name"><c>L1</c>, <c>L2</c>, <c>L3</c> or <c>memory</c>.</param>
/// <param name="Bytes">Capacity, of one core for private caches; 0 when unknown.</param>
/// <param name="GbpsOne">10^9 bytes per second that one core reads; 0 when unknown.</param>
/// <param name="GbpsAll">The same of all cores.</param>
public sealed record MemoryLevel(string Name, long Bytes, double GbpsOne, double GbpsAll);

/// <summary>How long a matrix kernel takes, in nanoseconds.</summary>
/// <param name="Kernel">The kernel without its block: <c>modelpack:PackedMatMul(int4,f32)</c>, <c>ort:MatMulNBits(bits=4,level=0)</c>, <c>ort:MatMul</c>.</param>
/// <param name="Block">Weights per scale in the measurement; 0 where there is no block.</param>
/// <param name="BytesPerWeight">Bytes that it reads for a weight.</param>
/// <param name="Cached">Per weight at one row of activations, weights in a cache.</param>
/// <param name="FromMemory">Per weight at one row, weights in memory.</param>
/// <param name="Batch">Per multiplication at 128 rows, without <paramref name="PerActivation"/> and <paramref name="PerOutput"/> where they are known.</param>
/// <param name="PerActivation">Per value of the activations at 128 rows, which kernels round or bring into another order first; null where it was not measured.</param>
/// <param name="PerOutput">Per value of the result at 128 rows, beside the multiplications; null where it was not measured.</param>
public sealed record KernelConstant(
    string Kernel, int Block, double BytesPerWeight, ThreadTimes Cached, ThreadTimes FromMemory, ThreadTimes Batch, ThreadTimes? PerActivation = null, ThreadTimes? PerOutput = null);

/// <summary>Nanoseconds on one thread and on all.</summary>
public sealed record ThreadTimes(double One, double All);

/// <summary>How long a convolution takes, in nanoseconds.</summary>
/// <param name="Kernel"><see cref="Dense"/>, <see cref="Depthwise"/> or <see cref="Packed"/>.</param>
/// <param name="PerMultiplication">Per multiplication. Of packed ones that of their product is the better guess.</param>
/// <param name="PerValue">Per value of the input and of the output, beside the multiplications.</param>
public sealed record ConvolutionConstant(string Kernel, ThreadTimes PerMultiplication, ThreadTimes PerValue)
{
    /// <summary>ONNX Runtime's, of all channels.</summary>
    public const string Dense = "ort:Conv";

    /// <summary>ONNX Runtime's, with one channel to a group.</summary>
    public const string Depthwise = "ort:Conv(depthwise)";

    /// <summary>On packed kernels that round activations.</summary>
    public const string Packed = "modelpack:PackedConv";
}

/// <summary>A gated perceptron of block-sparse f32 weights as one operator, beside its products one after the other.</summary>
/// <param name="Bytes">Bytes that kernels read of its three weights.</param>
/// <param name="Rows">Rows of activations.</param>
/// <param name="Ratio">Time of the operator over that of the products, on one thread and on all.</param>
public sealed record GatedMlpConstant(long Bytes, long Rows, ThreadTimes Ratio);
