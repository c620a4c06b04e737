namespace ModelPack.Kernels.MatMul;

/// <summary>Where the outputs of a product go: output o of row r to <c>Y[r Stride + o - First]</c>.</summary>
public readonly unsafe struct MatMulOutput
{
    /// <param name="y">Destination of the first output of the first row.</param>
    /// <param name="stride">Values from row to row.</param>
    /// <param name="first">The first output that has a place.</param>
    /// <param name="bias">[outputs] to be added; null for none.</param>
    public MatMulOutput(float* y, int stride, int first, float* bias)
    {
        Y = y;
        Stride = stride;
        First = first;
        Bias = bias;
    }

    /// <summary>Destination of the first output of the first row.</summary>
    public float* Y { get; }

    /// <summary>Values from row to row.</summary>
    public int Stride { get; }

    /// <summary>The first output that has a place.</summary>
    public int First { get; }

    /// <summary>[outputs] to be added; null for none.</summary>
    public float* Bias { get; }

    /// <summary>Where the outputs of some tiles go.</summary>
    /// <param name="rows">Rows.</param>
    /// <param name="tile">The first tile.</param>
    /// <param name="tiles">Tiles.</param>
    /// <param name="outputs">Outputs of the product.</param>
    internal TileOutput Tiles(int rows, int tile, int tiles, int outputs)
    {
        int first = tile * TileLayout.TileRows;
        int width = tiles * TileLayout.TileRows;
        return new TileOutput(Y + (first - First), Stride, Bias == null ? null : Bias + first, rows, width, Math.Min(width, outputs - first));
    }
}
