using System.Collections.Concurrent;

namespace ModelPack.Kernels.Emit;

/// <summary>Whether functions made at run time can be had.</summary>
internal static unsafe class EmittedFunctions
{
    /// <summary>Environment variable that forbids them with the value 0.</summary>
    public const string Switch = "MODELPACK_EMIT";

    /// <summary>Tried once: some systems allow no memory that was written to be executed.</summary>
    public static bool Works { get; } = Environment.GetEnvironmentVariable(Switch) != "0" && Try();

    private static bool Try()
    {
        var code = new X64Assembler();
        code.Return();
        nint address = System.Runtime.Intrinsics.X86.X86Base.X64.IsSupported ? ExecutableMemory.Place(code.Code) : 0;
        if (address == 0)
        {
            return false;
        }

        ((delegate* unmanaged[SuppressGCTransition]<void>)address)();
        return true;
    }
}

/// <summary>Functions made at run time, each when it is first asked for. Thread-safe.</summary>
/// <param name="write">Writes the machine code of a key.</param>
internal sealed class EmittedFunctions<TKey>(Func<TKey, byte[]> write)
    where TKey : notnull
{
    private readonly ConcurrentDictionary<TKey, Lazy<nint>> _functions = [];

    /// <summary>The address.</summary>
    /// <exception cref="InsufficientMemoryException">There is no memory for it.</exception>
    public nint Get(TKey key) => _functions.GetOrAdd(key, static (k, self) => new Lazy<nint>(() => self.Place(k)), this).Value;

    private nint Place(TKey key)
    {
        nint address = ExecutableMemory.Place(write(key));
        return address != 0 ? address : throw new InsufficientMemoryException("There is no memory for a kernel made at run time.");
    }
}
