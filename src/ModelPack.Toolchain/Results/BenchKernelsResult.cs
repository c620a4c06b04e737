namespace ModelPack.Toolchain;

/// <summary>Times of matrix products y[batch, rows] = x[batch, columns] W^T with packed weights W[rows, columns], beside ONNX Runtime's and the speed of memory in the same run.</summary>
public sealed record BenchKernelsResult
{
    /// <summary>Outputs.</summary>
    public required int Rows { get; init; }

    /// <summary>Inputs.</summary>
    public required int Columns { get; init; }

    /// <summary>Rows of activations.</summary>
    public required int Batch { get; init; }

    /// <summary>Threads of the second measurement of every kernel.</summary>
    public required int Threads { get; init; }

    public required IReadOnlyList<BenchedKernel> Results { get; init; }

    /// <summary>Instruction set of the own kernels.</summary>
    public required string Tier { get; init; }

    public required string Cpu { get; init; }
}

/// <summary>One kernel.</summary>
public sealed record BenchedKernel
{
    /// <summary>Whose it is, and its name: <c>modelpack:PackedMatMul(int4,f32)</c>, <c>ort:MatMul</c>.</summary>
    public required string Kernel { get; init; }

    /// <summary>Format of the weight with its arguments.</summary>
    public required string Format { get; init; }

    /// <summary>Weights along the inputs that share a scale; 0 where there is no scale.</summary>
    public required int Block { get; init; }

    /// <summary>Percent of the blocks that are not there; 0 for dense weights.</summary>
    public int Sparsity { get; init; }

    /// <summary>Bytes of the weight that the kernel reads.</summary>
    public required long WeightBytes { get; init; }

    /// <summary>On one thread.</summary>
    public required KernelTime One { get; init; }

    /// <summary>On <see cref="BenchKernelsResult.Threads"/> threads.</summary>
    public required KernelTime Many { get; init; }
}

/// <summary>The median of many runs.</summary>
public sealed record KernelTime
{
    public required double Milliseconds { get; init; }

    /// <summary>10^9 bytes of the weight per second.</summary>
    public required double Gbps { get; init; }

    /// <summary>Time to read as many bytes, between the runs, over the time of the kernel; 0 where that was not measured.</summary>
    public double ReadShare { get; init; }

    /// <summary>10^9 multiplications per second.</summary>
    public required double GigaMultiplications { get; init; }
}
