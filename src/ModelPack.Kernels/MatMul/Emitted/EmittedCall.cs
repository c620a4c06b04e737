using System.Runtime.InteropServices;
using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>What a function made at run time is called with.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct EmittedCall
{
    /// <summary>Activations as <see cref="PackedActivations"/> lays them out.</summary>
    public byte* X;

    /// <summary>Weights: as <see cref="TilePanel"/> lays them out, or units of codes.</summary>
    public byte* Weights;

    /// <summary>[rows, tiles, 16] sums that are added to.</summary>
    public float* Y;

    /// <summary>Blocks, at least one.</summary>
    public long Blocks;

    /// <summary>Scales of a tile as they are stored; with units of codes only, as the next two.</summary>
    public byte* Scales;

    /// <summary>Zero points.</summary>
    public byte* Zeros;

    /// <summary>What codes stand for: 64 bytes, repeated, or the bytes of BF16 values.</summary>
    public byte* Table;

    /// <summary>Room for registers that belong to the caller on Windows.</summary>
    public fixed byte Saved[EmittedCallCode.SavedBytes];
}

/// <summary>Beginning and end of a function void f(<see cref="EmittedCall"/>*).</summary>
/// <param name="code">Where it is written.</param>
/// <param name="windows">Calling convention of Windows; else that of System V.</param>
internal sealed class EmittedCallCode(X64Assembler code, bool windows)
{
    /// <summary>Registers 6 to 15.</summary>
    public const int SavedBytes = (LastSaved - FirstSaved + 1) * VectorBytes;

    private const int FirstSaved = 6;

    private const int LastSaved = 15;

    private const int VectorBytes = 64;

    private const int FieldBytes = 8;

    private const int Fields = 7;

    private Gpr Call => windows ? Gpr.Rcx : Gpr.Rdi;

    /// <summary>Keeps what belongs to the caller.</summary>
    public void Enter()
    {
        for (int i = FirstSaved; windows && i <= LastSaved; i++)
        {
            code.Store(SavedRegister(i), i);
        }
    }

    /// <summary>Loads a field of eight bytes.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="field">Its number.</param>
    public void Load(Gpr to, EmittedField field) => code.Load(to, new Mem(Call, (int)field * FieldBytes));

    /// <summary>Returns.</summary>
    public void Leave()
    {
        for (int i = FirstSaved; windows && i <= LastSaved; i++)
        {
            code.Load(i, SavedRegister(i));
        }

        code.Return();
    }

    private Mem SavedRegister(int register) => new(Call, (Fields * FieldBytes) + ((register - FirstSaved) * VectorBytes));
}

/// <summary>Fields of <see cref="EmittedCall"/>, in its order.</summary>
internal enum EmittedField
{
    /// <summary>Activations.</summary>
    X,

    /// <summary>Weights.</summary>
    Weights,

    /// <summary>Sums.</summary>
    Y,

    /// <summary>Blocks.</summary>
    Blocks,

    /// <summary>Scales.</summary>
    Scales,

    /// <summary>Zero points.</summary>
    Zeros,

    /// <summary>Table.</summary>
    Table,
}
