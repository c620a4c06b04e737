using System.Buffers;
using System.Runtime.InteropServices;

namespace ModelPack.Passes;

/// <summary>A matrix of plainly stored floats, read as f64.</summary>
/// <param name="Data">The bytes, row-major.</param>
/// <param name="Stored">Their type: f32, f16 or bf16.</param>
/// <param name="Rows">Rows.</param>
/// <param name="Columns">Columns.</param>
internal readonly record struct StoredFloats(TensorData Data, DType Stored, long Rows, int Columns)
{
    /// <summary>Reads part of a row.</summary>
    public void Read(long row, int column, Span<double> values)
    {
        int size = Stored == DType.F32 ? sizeof(float) : sizeof(ushort);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(values.Length * size);
        Span<byte> bytes = buffer.AsSpan(0, values.Length * size);
        Data.Read(((row * Columns) + column) * size, bytes);
        if (Stored == DType.F32)
        {
            ReadOnlySpan<float> floats = MemoryMarshal.Cast<byte, float>(bytes);
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = floats[i];
            }
        }
        else
        {
            ReadOnlySpan<ushort> halves = MemoryMarshal.Cast<byte, ushort>(bytes);
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = Stored == DType.BF16 ? BitConverter.Int32BitsToSingle(halves[i] << 16) : (double)BitConverter.UInt16BitsToHalf(halves[i]);
            }
        }

        ArrayPool<byte>.Shared.Return(buffer);
    }
}
