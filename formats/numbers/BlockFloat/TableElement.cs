using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace ModelPack.Numbers;

/// <summary>Small floats of at most 4 bits: decoded by a 16-entry permutation.</summary>
internal readonly struct TableElement<TLanes> : IElement<TLanes>
    where TLanes : struct, ILanes16<TLanes>
{
    private readonly FloatElement<TLanes> _arithmetic;
    private readonly TLanes _table;

    public TableElement(ElementFormat e)
    {
        _arithmetic = new FloatElement<TLanes>(e);
        float[] values = new float[16];
        e.Values.CopyTo(values, 0);
        _table = TLanes.Load(in MemoryMarshal.GetArrayDataReference(values));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes Encode(TLanes values) => _arithmetic.Encode(values);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes EncodeWithNan(TLanes values) => _arithmetic.EncodeWithNan(values);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TLanes Decode(TLanes codes) => TLanes.Lookup16(_table, codes);
}
