using System.Runtime.InteropServices;
using ModelPack.Kernels.Emit;

namespace ModelPack.Kernels.MatMul;

/// <summary>What a function made at run time is called with.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct EmittedCall
{
    /// <summary>Activations as <see cref="PackedActivations"/> lays them out.</summary>
    public byte* X;

    /// <summary>Weights as <see cref="TilePanel"/> lays them out.</summary>
    public byte* Panel;

    /// <summary>[rows, tiles, 16] sums that are added to.</summary>
    public float* Y;

    /// <summary>Blocks, at least one.</summary>
    public long Blocks;

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

    private const int PointerBytes = 8;

    private Gpr Call => windows ? Gpr.Rcx : Gpr.Rdi;

    /// <summary>Loads the fields.</summary>
    public void Enter(Gpr x, Gpr panel, Gpr y, Gpr blocks)
    {
        for (int i = FirstSaved; windows && i <= LastSaved; i++)
        {
            code.Store(SavedRegister(i), i);
        }

        code.Load(x, new Mem(Call, 0));
        code.Load(panel, new Mem(Call, PointerBytes));
        Output(y);
        code.Load(blocks, new Mem(Call, 3 * PointerBytes));
    }

    /// <summary>Loads the address of sums.</summary>
    public void Output(Gpr y) => code.Load(y, new Mem(Call, 2 * PointerBytes));

    /// <summary>Returns.</summary>
    public void Leave()
    {
        for (int i = FirstSaved; windows && i <= LastSaved; i++)
        {
            code.Load(i, SavedRegister(i));
        }

        code.Return();
    }

    private Mem SavedRegister(int register) => new(Call, (4 * PointerBytes) + ((register - FirstSaved) * VectorBytes));
}
