using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Rows that chose the same expert, at most <see cref="MatMulRun.MaxRows"/> of them.</summary>
[StructLayout(LayoutKind.Auto)]
public unsafe struct ExpertBatch
{
    /// <summary>Which expert.</summary>
    public int Expert { get; internal set; }

    /// <summary>How many rows.</summary>
    public int Rows { get; internal set; }

    /// <summary>Which rows, ascending.</summary>
    internal int* Places;

    /// <summary>What the expert counts for in each.</summary>
    internal float* Shares;

    /// <summary>Activations as its first products read them.</summary>
    internal byte* Inputs;

    /// <summary>False where an earlier batch has the same <see cref="Inputs"/>.</summary>
    internal bool OwnsInputs;

    /// <summary>What lies between its first and its last product.</summary>
    internal byte* Hidden;

    /// <summary>Parts of the work on what lies there of the batches before.</summary>
    internal int FirstPart;
}
