using System.Runtime.InteropServices;

namespace ModelPack.Kernels.MatMul;

/// <summary>Where eight rows of a matrix begin; rows that do not exist are the last that does.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly unsafe struct RowPointers
{
    /// <param name="x">The first row.</param>
    /// <param name="stride">Values from row to row.</param>
    /// <param name="rows">Rows that exist, at least one.</param>
    public RowPointers(float* x, long stride, int rows)
    {
        long last = rows - 1;
        Rows = rows;
        X0 = x;
        X1 = x + (Math.Min(1, last) * stride);
        X2 = x + (Math.Min(2, last) * stride);
        X3 = x + (Math.Min(3, last) * stride);
        X4 = x + (Math.Min(4, last) * stride);
        X5 = x + (Math.Min(5, last) * stride);
        X6 = x + (Math.Min(6, last) * stride);
        X7 = x + (Math.Min(7, last) * stride);
    }

    /// <summary>Rows that exist.</summary>
    public int Rows { get; }

    /// <summary>The first row; then the others.</summary>
    public float* X0 { get; }

    public float* X1 { get; }

    public float* X2 { get; }

    public float* X3 { get; }

    public float* X4 { get; }

    public float* X5 { get; }

    public float* X6 { get; }

    public float* X7 { get; }
}
