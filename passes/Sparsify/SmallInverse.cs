namespace ModelPack.Passes;

/// <summary>The inverse of a small symmetric positive definite matrix, in place, by elimination without pivoting.</summary>
internal static class SmallInverse
{
    /// <param name="matrix">[size, size].</param>
    /// <param name="size">Rows and columns.</param>
    public static void Run(Span<double> matrix, int size)
    {
        for (int k = 0; k < size; k++)
        {
            double pivot = 1 / matrix[(k * size) + k];
            matrix[(k * size) + k] = 1;
            for (int j = 0; j < size; j++)
            {
                matrix[(k * size) + j] *= pivot;
            }

            for (int i = 0; i < size; i++)
            {
                double factor = matrix[(i * size) + k];
                if (i == k)
                {
                    continue;
                }

                matrix[(i * size) + k] = 0;
                for (int j = 0; j < size; j++)
                {
                    matrix[(i * size) + j] -= factor * matrix[(k * size) + j];
                }
            }
        }
    }
}
