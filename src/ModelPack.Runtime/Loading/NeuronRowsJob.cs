using ModelPack.Kernels.MatMul;
using ModelPack.Runtime.Native;

namespace ModelPack.Runtime.Loading;

/// <summary>Brings a matrix of plain floats before the kernels that leave out rows at run time: as it is stored, behind a header.</summary>
internal static unsafe class NeuronRowsJob
{
    private const string Values = "values";

    /// <summary>What is wrong with a binding; null when it fits the stored matrix.</summary>
    public static string? WhyNot(InitializerBinding binding, IStoredWeight stored)
    {
        if (binding.DType != DType.U8 || binding.Shape.Rank != 1 || binding.Transposed || stored.Matrix is not DenseEncoding matrix || Of(matrix) is not NeuronMatrix rows)
        {
            return "bound as rows of neurons, which only matrices of f32 or bf16 bound as bytes have";
        }

        return rows.Bytes != binding.Shape[0] ? $"bound as {binding.Shape[0]} bytes, but its rows with their header have {rows.Bytes}"
            : stored.Stream(Values)?.LengthBytes != rows.Bytes - NeuronMatrix.HeaderBytes ? $"its stream '{Values}' does not have {rows.Bytes - NeuronMatrix.HeaderBytes} bytes"
            : null;
    }

    /// <summary>Fills a buffer; the binding was found to fit.</summary>
    public static void Run(IStoredWeight stored, WeightBuffer destination, int threads)
    {
        NeuronMatrix rows = Of(stored.Matrix!)!.Value;
        rows.WriteHeader(new Span<byte>((void*)destination.Address, NeuronMatrix.HeaderBytes));
        stored.ReadStream(Values, destination.Address + NeuronMatrix.HeaderBytes, destination.LengthBytes - NeuronMatrix.HeaderBytes, threads);
    }

    private static NeuronMatrix? Of(DenseEncoding matrix) => NeuronMatrix.TryCreate(matrix.Format, matrix.Shape.Rows, matrix.Shape.Columns);
}
